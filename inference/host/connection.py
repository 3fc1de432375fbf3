"""One caller's connection, as the run loop sees it: something to write messages to."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from inference.host.api import wire

MOST_UNREAD_BYTES = 1024 * 1024
"""A caller that lets this much pile up has stopped reading."""
FINISH_SECONDS = 5.0


class Connection:
    """Writing never blocks and never raises: a caller that is gone is noticed where its end is read."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def send(self, message: Any) -> None:
        transport = self._writer.transport
        if transport.is_closing():
            return
        self._writer.write(wire.encode(message))
        if transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            transport.abort()

    def send_last(self, message: Any) -> None:
        """Sends and closes: the other side reads the message, then the end."""
        self.send(message)
        self._writer.close()

    async def drain(self) -> None:
        """Returns when the caller has taken most of what was sent. Raises ConnectionError once it is gone."""
        await self._writer.drain()

    async def finish(self) -> None:
        """Closes, after what was sent is out or FINISH_SECONDS have passed."""
        self._writer.close()
        with suppress(ConnectionError, asyncio.TimeoutError):
            await asyncio.wait_for(self._writer.wait_closed(), FINISH_SECONDS)
        self._writer.transport.abort()
