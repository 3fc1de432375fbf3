"""Where the box's sockets lie: in the run folder, or, as a socket's path is short, in a short folder of this user's alone."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

LONGEST_SOCKET_PATH_BYTES = 90
"""Of the host's. Systems take about 105, and workers' names are longer."""
RECORD = "sockets"
"""In the run folder: where they lie instead, so that all processes agree, whatever environment each was started in."""


class NoSocketFolder(OSError):
    """No folder with a short path can be made."""


def socket_folder(run_dir: Path, runtime_dir: str | None) -> Path:
    """The folder for the sockets of the box with that run folder, made where it has to be another one. Raises OSError.

    `runtime_dir`: XDG_RUNTIME_DIR. It is used where it is this user's alone, else the temporary folder. The name is random:
    nobody can be there first.
    """
    if _is_short(run_dir):
        return run_dir
    descriptor = os.open(run_dir / RECORD, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "r+", encoding="utf-8", errors="surrogateescape") as record:
        fcntl.flock(record, fcntl.LOCK_EX)
        written = record.read().strip()
        if written and _is_still_ours(Path(written)):
            return Path(written)
        folder = _make(runtime_dir)
        record.seek(0)
        record.truncate()
        record.write(str(folder))
        return folder


def _is_short(folder: Path) -> bool:
    return len(os.fsencode(folder / "host.sock")) <= LONGEST_SOCKET_PATH_BYTES


def is_private(folder: Path) -> bool:
    """Whether it is a folder, no link to one, that this user alone may use."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077


def _is_still_ours(folder: Path) -> bool:
    """Made again where something swept it away: processes that run know it by this name."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    except OSError:
        return False
    return is_private(folder)


def _candidates(runtime_dir: str | None) -> Iterator[Path]:
    if runtime_dir and os.path.isabs(runtime_dir) and is_private(Path(runtime_dir)):
        yield Path(runtime_dir)
    yield Path(tempfile.gettempdir())
    yield Path("/tmp")  # noqa: S108  the folder made there has a random name and is nobody else's


def _make(runtime_dir: str | None) -> Path:
    for parent in _candidates(runtime_dir):
        try:
            folder = Path(tempfile.mkdtemp(prefix="hostui-", dir=parent))
        except OSError:
            continue
        if _is_short(folder):
            return folder
        folder.rmdir()
    raise NoSocketFolder("its path is too long for sockets, and no short folder can be made in /tmp")
