"""The sending side of one caller's connection: written to by the decode thread, without ever waiting for the caller."""

from __future__ import annotations

import asyncio
import socket
import threading

from inference.engine.protocol import WorkerReply, encode

MOST_UNREAD_BYTES = 4 * 1024 * 1024
"""A caller that leaves more than this unread has stopped reading; its request is cancelled."""


class CallerConnection:
    """Sends straight from the calling thread: waking the event loop for each token would cost more than the write.

    What the socket does not take at once is kept, and the loop writes it when there is room.
    """

    def __init__(self, transport_socket: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        # A socket of our own on the same connection: asyncio reserves the transport's for itself.
        self._socket = transport_socket.dup()
        self._socket.setblocking(False)
        self._loop = loop
        self._lock = threading.Lock()
        self._unread = bytearray()
        self._broken = False
        self._last_sent = False
        self._drained = asyncio.Event()

    @property
    def broken(self) -> bool:
        """Whether the caller is gone or does not read."""
        return self._broken

    def send(self, *messages: WorkerReply, last: bool = False) -> None:
        """Sends without waiting, from any thread. With `last`, `finished` returns once all has been written."""
        raw = b"".join(encode(message) for message in messages)
        with self._lock:
            if not self._broken and not self._last_sent:
                self._write(raw)
            self._last_sent = self._last_sent or last
            over = self._broken or (self._last_sent and not self._unread)
        if over:
            self._loop.call_soon_threadsafe(self._drained.set)

    async def finished(self) -> None:
        """Returns when the last message has been handed to the operating system, or the caller has stopped taking any."""
        await self._drained.wait()

    def abandon(self) -> None:
        """Drops what is unsent: the caller is gone."""
        with self._lock:
            self._broken = True
        self._drained.set()

    def close(self) -> None:
        """Closes our socket on the connection. On the loop's thread."""
        with self._lock:
            self._broken = True
            self._unread.clear()
            self._loop.remove_writer(self._socket)
            self._socket.close()

    def _write(self, raw: bytes) -> None:
        if self._unread:
            self._unread += raw
        else:
            try:
                n_sent = self._socket.send(raw)
            except BlockingIOError:
                n_sent = 0
            except OSError:
                self._broken = True
                return
            if n_sent == len(raw):
                return
            self._unread += raw[n_sent:]
            self._loop.call_soon_threadsafe(self._watch)
        if len(self._unread) > MOST_UNREAD_BYTES:
            self._broken = True
            self._unread.clear()

    def _watch(self) -> None:
        with self._lock:
            if self._socket.fileno() >= 0:
                self._loop.add_writer(self._socket, self._flush)

    def _flush(self) -> None:
        with self._lock:
            try:
                del self._unread[: self._socket.send(self._unread)]
            except BlockingIOError:
                return
            except OSError:
                self._broken = True
                self._unread.clear()
            if self._unread:
                return
            self._loop.remove_writer(self._socket)
            if self._last_sent or self._broken:
                self._drained.set()
