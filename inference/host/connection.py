"""One caller's connection, as the run loop sees it: something to write messages to."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from inference.engine import lingering_close
from inference.host.api import wire

MOST_UNREAD_BYTES = 1024 * 1024
"""A caller that lets this much pile up has stopped reading."""
_DISCARDED_BYTES = 64 * 1024


class Connection:
    """Writing never blocks and never raises: a caller that is gone is noticed where its end is read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._last_sent = asyncio.Event()

    def send(self, message: Any) -> None:
        transport = self._writer.transport
        if transport.is_closing() or self._last_sent.is_set():
            return
        self._writer.write(wire.encode(message))
        if transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            transport.abort()

    def send_last(self, message: Any) -> None:
        """Sends what ends `until_over`: the other side reads the message, then the end."""
        self.send(message)
        self._last_sent.set()

    async def drain(self) -> None:
        """Returns when the caller has taken most of what was sent. Raises ConnectionError once it is gone."""
        await self._writer.drain()

    async def until_over(self) -> None:
        """Returns when the caller has closed or was sent its last message. Whatever it still sends means nothing."""
        waits = asyncio.ensure_future(self.until_left()), asyncio.ensure_future(self._last_sent.wait())
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def until_left(self) -> None:
        """Returns when the caller has closed. Whatever it still sends means nothing."""
        with suppress(ConnectionError):
            while await self._reader.read(_DISCARDED_BYTES):
                pass

    async def finish(self) -> None:
        """Closes in such a way that what was sent last arrives. Nobody reads any more."""
        await lingering_close.close(self._reader, self._writer)
