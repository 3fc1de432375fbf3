"""One process of a kind per data folder. The kernel drops the lock when its holder ends, `kill -9` included."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

RETRY_SECONDS = 0.05


class LockHeld(Exception):
    """Another process holds `path`; `pid` is what it wrote there, if it did."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(f"{path} is held by process {pid or 'unknown'}")
        self.path = path
        self.pid = pid


def hold(path: Path, wait_seconds: float = 0.0) -> int:
    """Holds `path` until the returned descriptor is closed or the process ends. Blocks up to `wait_seconds`. Raises Held.

    The wait is for a predecessor that is still ending.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() >= deadline:
                written = os.read(descriptor, 32).decode("ascii", "replace").strip()
                os.close(descriptor)
                raise LockHeld(path, int(written) if written.isdigit() else None) from None
        time.sleep(RETRY_SECONDS)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
