"""A whole box on a data folder of its own: `manage.py serve` with web, host and jobs, as people run it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.bench.machine import ROOT

START_SECONDS = 60.0
STOP_SECONDS = 30.0
LOG_LINES = 20
READY_LINE = b"hostui is ready"


class BoxFailed(Exception):
    """`serve` ended or did not become ready; the message carries what it said."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in."""

    user_id: int
    cookie: str


@dataclass(frozen=True, slots=True)
class Prepared:
    host_socket: str
    variant: int
    people: tuple[Person, ...]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Box:
    """`with Box() as box:` is ready inside the block and leaves nothing behind."""

    def __enter__(self) -> Box:
        self._folder = tempfile.TemporaryDirectory(prefix="hostui-bench-")
        self.port = _free_port()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOSTUI_")}
        self._environment = {
            **inherited,
            "HOSTUI_DATA_DIR": self._folder.name,
            "HOSTUI_HOST": "127.0.0.1",
            "HOSTUI_PORT": str(self.port),
            "DJANGO_SETTINGS_MODULE": "hostui.settings",
        }
        self._serve = subprocess.Popen(
            [sys.executable, "manage.py", "serve"],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        deadline = threading.Timer(START_SECONDS, self._serve.kill)
        deadline.start()
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        finally:
            deadline.cancel()
        threading.Thread(target=self._read_on, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._show_logs()
        self._stop()

    def _show_logs(self) -> None:
        """The data folder goes with the box; this is what is left to find a fault by."""
        for log in sorted((Path(self._folder.name) / "logs").rglob("*.log")):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
            print(f"--- {log.name}", *lines, sep="\n", file=sys.stderr)

    def _wait_until_ready(self) -> None:
        assert self._serve.stdout is not None
        said = b""
        for line in self._serve.stdout:
            said += line
            if READY_LINE in line:
                return
        raise BoxFailed(f"serve ended before it was ready (exit {self._serve.wait()}):\n{said.decode()}")

    def _read_on(self) -> None:
        assert self._serve.stdout is not None
        for _ in self._serve.stdout:
            pass

    def _stop(self) -> None:
        self._serve.send_signal(signal.SIGINT)
        try:
            self._serve.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._serve.kill()
            self._serve.wait()
        self._folder.cleanup()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of serve, web, host and jobs."""
        record = json.loads((Path(self._folder.name) / "run" / "serve.json").read_text(encoding="utf-8"))
        return {"serve": record["pid"], **{name: entry["pid"] for name, entry in record["processes"].items()}}

    def prepare(self, *, n_users: int, n_seq_max: int, n_ctx_seq: int) -> Prepared:
        """People who are signed in, and the starter variant with these slots. To be called once, before anything is loaded."""
        numbers = map(str, (n_users, n_seq_max, n_ctx_seq))
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.box_setup", *numbers],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise BoxFailed(f"setting up people and variant failed:\n{done.stderr}")
        printed = json.loads(done.stdout)
        people = tuple(Person(**each) for each in printed["users"])
        return Prepared(printed["host_socket"], printed["variant"], people)
