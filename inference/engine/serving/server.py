"""The worker's Unix socket: one connection is one request, and closing it cancels."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from inference.engine import lingering_close, private_folder, protocol
from inference.engine.protocol import Pong, Refused
from inference.engine.serving.connection import CallerConnection
from inference.engine.serving.fields import RequestRefused

_LEAVE_SECONDS = 30.0
"""How long the last messages wait for a caller that has stopped reading."""
_DISCARDED_BYTES = 64 * 1024
_LONGEST_ID = 256


class RequestHandler(Protocol):
    """Handles the first message of each connection: chat.handler.ChatHandler, imatrix.handler.ImatrixHandler."""

    async def handle(self, message: dict[str, Any], reader: asyncio.StreamReader, connection: CallerConnection) -> None:
        """Answers, and returns when that is complete or the caller has gone. Raises RequestRefused."""


class WorkerServer:
    """Serves callers until the process ends."""

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler
        self._loop = asyncio.get_running_loop()

    async def listen(self, path: Path) -> asyncio.AbstractServer:
        """Creates the socket with mode 0600, in place of a stale one. Raises UnsafeFolder, OSError."""
        private_folder.check(path.parent)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        mask = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(
                self._serve, path=str(path), limit=protocol.LONGEST_LINE_BYTES, backlog=128
            )
        finally:
            os.umask(mask)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = CallerConnection(writer.get_extra_info("socket"), self._loop)
        try:
            try:
                message = await protocol.read(reader)
                if message is None:
                    return
                await self._handler.handle(message, reader, connection)
            except protocol.BadMessage as bad:
                self._refuse(connection, RequestRefused("bad_request", str(bad)))
            except RequestRefused as refused:
                self._refuse(connection, refused)
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(connection.finished(), _LEAVE_SECONDS)
        finally:
            connection.close()
            await lingering_close.close(reader, writer)

    def _refuse(self, connection: CallerConnection, refused: RequestRefused) -> None:
        connection.send(
            Refused(type="refused", code=refused.code, detail=refused.detail, facts=refused.facts), last=True
        )


async def until_over(reader: asyncio.StreamReader, connection: CallerConnection) -> None:
    """Returns when the answer is complete or the caller has gone."""
    left = asyncio.create_task(_end_of(reader))
    finished = asyncio.create_task(connection.finished())
    _, pending = await asyncio.wait({left, finished}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    # A stream has one reader at a time: whoever reads on must find this one gone.
    await asyncio.gather(*pending, return_exceptions=True)
    if left not in pending and finished in pending:
        connection.abandon()


def send_pong(connection: CallerConnection, decode_ms: float) -> None:
    """Answers a ping. From any thread."""
    connection.send(Pong(type="pong", decode_ms=round(decode_ms, 3)), last=True)


def log(request: dict[str, Any], what: str, **facts: Any) -> None:
    """Writes a line of log as the other processes do: by its id a request is followed from socket to worker."""
    now = time.time()
    moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
    request_id = str(request.get("request_id"))[:_LONGEST_ID]
    line = {"time": moment, "level": "INFO", "process": "worker", "message": what, "request_id": request_id}
    print(json.dumps({**line, **facts}), file=sys.stderr, flush=True)


async def _end_of(reader: asyncio.StreamReader) -> None:
    """Reads, and throws away, what a caller sends after its request."""
    with contextlib.suppress(OSError):
        while await reader.read(_DISCARDED_BYTES):
            pass
