"""A worker's standard error, kept in a file of bounded size and, for the last lines, in memory."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LARGEST_LOG_BYTES = 1024 * 1024
_TAIL_LINES = 40
_LONGEST_TAIL_LINE = 1_000


class WorkerLog:
    """Appends; beyond LARGEST_LOG_BYTES the file becomes `<name>.1` and a new one starts. A full disk loses only lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._partial = b""

    def write(self, chunk: bytes) -> None:
        lines = (self._partial + chunk).split(b"\n")
        self._partial = lines.pop()[-_LONGEST_TAIL_LINE:]
        self._tail.extend(line[:_LONGEST_TAIL_LINE].decode("utf-8", "replace") for line in lines)
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("ab")
            if self._file.tell() + len(chunk) > LARGEST_LOG_BYTES:
                self._file.close()
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                self._file = self._path.open("ab")
            self._file.write(chunk)
            self._file.flush()
        except OSError:
            self.close()

    def tail(self) -> list[str]:
        """The last lines, oldest first."""
        return [*self._tail, self._partial.decode("utf-8", "replace")]

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
