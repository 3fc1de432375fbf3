"""The kernel's own word on who writes what: each write to a file of one folder, with the process that made it (fanotify).

Linux, and a process that may administer the system; elsewhere there is no such word, and `watch` says so.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.kills.mounts import CannotMount, own_mount

_CLOEXEC, _NONBLOCK, _UNLIMITED_QUEUE = 0x1, 0x2, 0x10
_MARK_ADD, _MARK_MOUNT = 0x1, 0x10
_MODIFY, _OVERFLOW = 0x2, 0x4000
_AT_FDCWD = -100
_EVENT = struct.Struct("=IBBHQii")
"""struct fanotify_event_metadata: event_len, vers, reserved, metadata_len, mask, fd, pid."""


class CannotWatch(Exception):
    """The message says why, as a phrase."""


class Writers:
    """A second writer is a process that writes to a file while another that wrote to it lives. Its thread reads along until `close`."""

    def __init__(self, listener: int) -> None:
        self.n_writes = 0
        """At least: the kernel tells several writes of one process as one where nobody read in between."""
        self.n_handed_on = 0
        """Files that another process went on with, after the death of the one before."""
        self.second: list[str] = []
        """What was seen of two writers at once. Empty is what is wished for."""
        self._last: dict[tuple[int, str], psutil.Process | None] = {}
        self._listener = listener
        self._asked, self._ask = os.pipe()
        self._caught_up = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._follow, name="writers")
        self._thread.start()

    @property
    def n_files(self) -> int:
        return len(self._last)

    def catch_up(self) -> None:
        """Returns when all that was written until now is known."""
        os.write(self._ask, b"?")
        self._caught_up.acquire()

    def close(self) -> None:
        os.write(self._ask, b".")
        self._thread.join()
        os.close(self._ask)
        os.close(self._asked)

    # its own thread --------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        is_over = False
        while not is_over:
            ready, _, _ = select.select([self._listener, self._asked], [], [])
            asked = os.read(self._asked, 1) if self._asked in ready else b""
            self._read_all()
            if asked == b"?":
                self._caught_up.release()
            is_over = asked == b"."

    def _read_all(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self._read(os.read(self._listener, 1 << 16))

    def _read(self, events: bytes) -> None:
        while events:
            length, _, _, _, mask, descriptor, pid = _EVENT.unpack_from(events)
            events = events[length:]
            if mask & _OVERFLOW:
                self.second.append("the kernel lost count")
                continue
            try:
                self._wrote(descriptor, pid)
            finally:
                os.close(descriptor)

    def _wrote(self, descriptor: int, pid: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(" (deleted)").removesuffix(".part")
        # A number is given to another file once the first one is gone; the name tells them apart.
        key = (os.fstat(descriptor).st_ino, path)
        before = self._last.get(key)
        self.n_writes += 1
        if before is not None and before.pid == pid:
            return
        if key in self._last:
            self.n_handed_on += 1
            if before is not None and _is_alive(before):
                self.second.append(f"{path}: {pid} wrote while {before.pid} was alive")
        try:
            self._last[key] = psutil.Process(pid)
        except psutil.NoSuchProcess:
            self._last[key] = None


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def watch(folder: Path) -> Iterator[Writers]:
    """Of every file below `folder`, from now to the end of the block. Raises CannotWatch."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "fanotify_init"):
        raise CannotWatch("this system has no fanotify")
    libc.fanotify_mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]
    listener = libc.fanotify_init(_CLOEXEC | _NONBLOCK | _UNLIMITED_QUEUE, os.O_RDONLY)
    if listener < 0:
        raise CannotWatch(f"fanotify: {os.strerror(ctypes.get_errno())}")
    try:
        with own_mount(folder):
            if libc.fanotify_mark(listener, _MARK_ADD | _MARK_MOUNT, _MODIFY, _AT_FDCWD, os.fsencode(folder)):
                raise CannotWatch(f"fanotify: {os.strerror(ctypes.get_errno())}")
            writers = Writers(listener)
            try:
                yield writers
            finally:
                writers.close()
    except CannotMount as cannot:
        raise CannotWatch(str(cannot)) from None
    finally:
        os.close(listener)
