"""A PostgreSQL and a Redis of the tests' own, in a temporary folder, where this machine has the programs and their drivers."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.stack import free_port, wait_for

DRIVERS = ("dj_database_url", "psycopg", "redis")
"""Of requirements-shared.txt."""


@dataclass(frozen=True, slots=True)
class Servers:
    redis_url: str
    _folder: Path
    _programs: Path
    _user: str | None

    def restart_database(self) -> None:
        """As after a crash: every connection is cut."""
        data, log = self._folder / "data", self._folder / "log"
        _run(self._user, self._programs / "pg_ctl", "-D", data, "-w", "-l", log, "-m", "immediate", "restart")

    def new_database(self) -> str:
        """Creates an empty one; returns what DATABASE_URL is to be."""
        name = f"box_{secrets.token_hex(4)}"
        _run(self._user, self._programs / "createdb", "-h", self._folder, "-U", "hostui", name)
        return f"postgres://hostui@{quote(str(self._folder), safe='')}/{name}"


def why_none() -> str | None:
    """Why there are none here, as a phrase; None where there are."""
    missing = [name for name in DRIVERS if importlib.util.find_spec(name) is None]
    if missing:
        return f"{', '.join(missing)} of requirements-shared.txt not installed (make test-shared does that)"
    if _programs() is None:
        return "this machine has no PostgreSQL (apt-get install postgresql)"
    if shutil.which("redis-server") is None:
        return "this machine has no Redis (apt-get install redis-server)"
    return None


@contextmanager
def running_servers() -> Iterator[Servers]:
    """Both, empty, until the block ends. To be asked for only where `why_none` knows no reason."""
    programs = _programs()
    assert programs is not None
    # Not pytest's: its temporary paths are longer than a socket's name may be.
    folder = Path(tempfile.mkdtemp(prefix="hostui-pg-"))
    user = _somebody() if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
        folder.chmod(0o755)
    data = folder / "data"
    try:
        with running_redis(free_port()) as redis_url:
            _run(user, programs / "initdb", "-D", data, "-A", "trust", "-U", "hostui", "-E", "UTF8", "--no-sync")
            options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
            _run(user, programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
            try:
                yield Servers(redis_url, folder, programs, user)
            finally:
                _run(user, programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_redis(port: int) -> Iterator[str]:
    """An empty one that answers at that port until the block ends; gives what HOSTUI_REDIS_URL is to be."""
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", tempfile.gettempdir()]
    redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: _listens(port), "Redis to listen")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        redis.terminate()
        redis.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _programs() -> Path | None:
    """The folder of PostgreSQL's programs; Debian keeps them off the path, a folder a version."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    return folders[-1] if folders else None


def _somebody() -> str:
    """PostgreSQL does not run as root."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _run(user: str | None, *command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command], user=user, cwd="/", stdin=subprocess.DEVNULL, capture_output=True
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout.decode()}{done.stderr.decode()}"
