"""The host's place in the file system: one host per data folder, and sockets that only their owner can open."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from inference.core.loads.resident_id import ResidentId
from inference.engine import private_folder
from inference.engine.private_folder import UnsafeFolder as UnsafeFolder


class HostIsRunning(Exception):
    """Another host holds the lock. `pid` is its process, where it could be read."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"process {pid}" if pid else "another process")
        self.pid = pid


class RunDir:
    """The folder of the host's socket. `lock` before anything else; workers' sockets lie beside the host's."""

    def __init__(self, socket_path: str, lock_path: Path) -> None:
        self.socket_path = socket_path
        self._folder = Path(socket_path).parent
        self._lock_path = lock_path
        self._lock: IO[str] | None = None

    def lock(self) -> None:
        """Makes the folders and takes the lock for as long as this process lives.

        Raises HostIsRunning, UnsafeFolder, OSError.
        """
        private_folder.make(self._lock_path.parent)
        private_folder.make(self._folder)
        lock = self._lock_path.open("a+", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            lock.close()
            raise HostIsRunning(int(holder) if holder.isdigit() else None) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def clear(self) -> None:
        """Removes the sockets that an earlier host left. Call only with the lock held."""
        for path in self._folder.glob("worker-*.sock"):
            with suppress(FileNotFoundError):
                path.unlink()
        with suppress(FileNotFoundError):
            os.unlink(self.socket_path)

    def worker_socket(self, resident_id: ResidentId, launch: int) -> str:
        return str(self._folder / f"worker-{resident_id}-{launch}.sock")

    def close(self) -> None:
        """Removes the host's socket and releases the lock."""
        self.clear()
        if self._lock is not None:
            self._lock.close()
            self._lock = None
