"""The host's answer to `telemetry`: a Backlog, then a Delta a second, until the caller is gone."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from inference.host.connection import Connection
from inference.host.telemetry.sampler import Telemetry


async def serve(telemetry: Telemetry, reader: asyncio.StreamReader, connection: Connection) -> None:
    """Returns when the other side has closed. A caller that reads slowly gets the newest state, not a growing pile."""
    closed = asyncio.ensure_future(_closed(reader))
    following = asyncio.ensure_future(_follow(telemetry, connection))
    try:
        await asyncio.wait({closed, following}, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()
    finally:
        for task in (closed, following):
            task.cancel()
        await asyncio.gather(closed, following, return_exceptions=True)


async def _follow(telemetry: Telemetry, connection: Connection) -> None:
    async with aclosing(telemetry.follow()) as frames:
        async for frame in frames:
            connection.send(frame)
            await connection.drain()


async def _closed(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(65_536):
            pass
    except ConnectionError:
        return
