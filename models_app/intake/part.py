"""The one writer of one growing file. Blocks on the disk."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from models_app.files import mode_for_models, sync_folder
from models_app.intake.spec import part_of

QUARANTINE = ".quarantine"
_BLOCK_BYTES = 1 << 20


class PartHeld(Exception):
    """Another writer, of this process or another, has the file."""


class Part:
    """`target` with `.part` behind its name, held by a lock on the file itself: the kernel drops it with its holder.

    Knows the SHA-256 of what it holds. `close` keeps the file for the next writer.
    """

    def __init__(self, target: Path, descriptor: int) -> None:
        self.target = target
        self.path = part_of(target)
        self._descriptor = descriptor
        self._closing = threading.Lock()
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    @classmethod
    def open(cls, target: Path) -> Part:
        """Call `resume` next. Raises Held, OSError."""
        path = part_of(target)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(descriptor, path):
                    return cls(target, descriptor)
            except BlockingIOError:
                os.close(descriptor)
                raise PartHeld(path) from None
            # Its holder renamed or removed it between our opening and our locking.
            os.close(descriptor)

    def resume(self, most_bytes: int, tick: Callable[[int], None] = lambda _: None) -> int:
        """Reads what is there, up to `most_bytes`, and cuts off the rest. Returns its size; tells `tick` how far it is."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._digest, self.size_bytes = hashlib.sha256(), 0
        while self.size_bytes < most_bytes:
            block = os.read(self._descriptor, min(_BLOCK_BYTES, most_bytes - self.size_bytes))
            if not block:
                break
            self._digest.update(block)
            self.size_bytes += len(block)
            tick(self.size_bytes)
        os.ftruncate(self._descriptor, self.size_bytes)
        os.lseek(self._descriptor, self.size_bytes, os.SEEK_SET)
        return self.size_bytes

    def restart(self) -> None:
        """Empties the file."""
        self.resume(0)

    def write(self, block: bytes | memoryview) -> None:
        """Raises OSError; what it wrote of the block then counts."""
        view = memoryview(block)
        while view:
            written = os.write(self._descriptor, view)
            self._digest.update(view[:written])
            self.size_bytes += written
            view = view[written:]

    def append(self, offset: int, piece: bytes) -> int | None:
        """Adds a piece to a file that `resume` has not read. Returns its size; None: it does not end at `offset`.

        Then nothing was written. A piece that does not fit on the disk is taken back. The digest stays unknown.
        """
        if os.fstat(self._descriptor).st_size != offset:
            return None
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        try:
            self.write(piece)
        except OSError:
            os.ftruncate(self._descriptor, offset)
            raise
        return offset + len(piece)

    def sync(self) -> int:
        """Makes what is written survive a loss of power; returns how much that is at least. May be called by another thread."""
        with self._closing:
            size_bytes = self.size_bytes
            if self._descriptor >= 0:
                os.fdatasync(self._descriptor)
            return size_bytes

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def finish(self) -> None:
        """Gives the file its name, for good, and closes it. The caller has found its size and digest right."""
        os.fchmod(self._descriptor, mode_for_models(self.target.parent))
        os.fsync(self._descriptor)
        os.rename(self.path, self.target)
        sync_folder(self.target.parent)
        self.close()

    def quarantine(self) -> Path:
        """Puts the file where nobody takes it for a model, and closes it. Returns where."""
        place = self.target.parent / QUARANTINE
        place.mkdir(mode=0o700, exist_ok=True)
        where = place / self.path.name
        os.rename(self.path, where)
        self.close()
        return where

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Harmless twice."""
        with self._closing:
            if self._descriptor >= 0:
                descriptor, self._descriptor = self._descriptor, -1
                os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def digest_of(path: Path, tick: Callable[[int], None] = lambda _: None) -> str:
    """The SHA-256 of a file, in hex. Tells `tick` how far it is. Raises OSError."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            tick(done)
    return digest.hexdigest()
