"""A worker's three pipes and its exit, as asyncio's subprocess protocol sees them.

asyncio's own streams tell of an exit only when every pipe is closed, and a child of the worker may hold one open for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LONGEST_REPORT_BYTES = 1024 * 1024


class Pipes(asyncio.SubprocessProtocol):
    """Hands on what the worker writes. `exited` and `closed` are done when the process has ended and its reports have."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.log_closed: asyncio.Future[None] = loop.create_future()
        self._early: list[tuple[int, bytes]] = []
        """What came before anybody listened."""
        self._is_heard = False
        self._partial = bytearray()
        self._flooded = False

    def attach(
        self,
        on_line: Callable[[bytes], None],
        on_flood: Callable[[], None],
        on_log: Callable[[bytes], None],
        on_closed: Callable[[], None],
    ) -> None:
        """`on_line` gets each line of standard output with its newline, `on_flood` is called once for a line without end,
        `on_log` gets chunks of standard error, `on_closed` is called when no further line can come. All of it from the beginning."""
        self._on_line = on_line
        self._on_flood = on_flood
        self._on_log = on_log
        self._on_closed = on_closed
        self._is_heard = True
        for fd, data in self._early:
            self.pipe_data_received(fd, data)
        self._early.clear()
        if self.closed.done():
            on_closed()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if not self._is_heard:
            self._early.append((fd, data))
            return
        if fd == 2:
            self._on_log(data)
            return
        if self._flooded:
            return
        self._partial += data
        *lines, rest = self._partial.split(b"\n")
        self._partial = bytearray(rest)
        for line in lines:
            self._on_line(bytes(line) + b"\n")
        if len(self._partial) > LONGEST_REPORT_BYTES:
            self._flooded = True
            self._partial.clear()
            self._on_flood()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self.closed.set_result(None)
            if self._is_heard:
                self._on_closed()
        elif fd == 2:
            self.log_closed.set_result(None)

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)
