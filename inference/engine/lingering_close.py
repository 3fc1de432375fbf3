"""How worker and host end a connection: what was sent last arrives, even where the other side still sends."""

from __future__ import annotations

import asyncio
from contextlib import suppress

LINGER_SECONDS = 5.0
LINGER_BYTES = 64 * 1024 * 1024
"""Four times the longest line."""
_BLOCK_BYTES = 64 * 1024


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes once the other side has, or after LINGER_SECONDS or LINGER_BYTES; nobody else may be reading.

    Closed with bytes unread, a socket is reset, and what it sent may be lost on its way. So our end of the stream is sent first,
    and what still comes is thrown away.
    """
    try:
        with suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(_end(reader, writer), LINGER_SECONDS)
    finally:
        writer.transport.abort()


async def _end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write_eof()
    n_left_bytes = LINGER_BYTES
    while n_left_bytes > 0 and (block := await reader.read(_BLOCK_BYTES)):
        n_left_bytes -= len(block)
    writer.close()
    await writer.wait_closed()
