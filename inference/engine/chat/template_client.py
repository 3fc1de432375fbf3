"""The worker's side of `template_process`: renders prompts and converts schemas in a process that may be ended at any time."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from inference.engine.protocol import LONGEST_LINE_BYTES

PATIENCE_SECONDS = 2.0
"""How long one template or schema may take. The longest real prompts render in a tenth of that."""
_START_PATIENCE_SECONDS = 10.0


class RenderFailed(Exception):
    """A template or schema gave nothing. `detail` is a sentence for a person; `timed_out`: it was ended for taking too long."""

    def __init__(self, detail: str, *, timed_out: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.timed_out = timed_out


class Renderer:
    """Keeps one renderer process ready, with the template compiled in it. One request at a time; the others wait."""

    def __init__(self) -> None:
        """Starts the process without waiting for it."""
        self._template: str | None = None
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._start()

    async def compile(self, template: str) -> None:
        """Waits until the template is compiled. Comes before anything else. Raises RenderFailed, and goes on without one."""
        async with self._turn:
            self._template = template
            try:
                await self._connect()
            except RenderFailed:
                self._template = None
                raise

    async def render(self, messages: Sequence[Mapping[str, Any]], tokens: Mapping[str, str]) -> str:
        """The prompt for `messages`. Raises RenderFailed."""
        return await self._ask({"type": "render", "messages": messages, "tokens": tokens})

    async def convert_schema(self, schema: Mapping[str, Any]) -> str:
        """The GBNF of a JSON schema. Raises RenderFailed."""
        return await self._ask({"type": "schema", "schema": schema})

    def kill(self) -> None:
        """Ends the process at once. The next request fails, the one after it finds a new process."""
        self._process.kill()

    def close(self) -> None:
        """Ends the process and waits for that."""
        self.kill()
        self._process.wait()
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
        else:
            self._socket.close()

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "inference.engine.chat.template_process"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
            )

    async def _connect(self) -> None:
        """Connects to a process that was just started, and has it compile the template. Raises RenderFailed."""
        if self._streams is not None:
            return
        # Twice the line: JSON escapes can double what came in.
        self._streams = await asyncio.open_connection(sock=self._socket, limit=2 * LONGEST_LINE_BYTES)
        if self._template is not None:
            await self._exchange({"type": "compile", "template": self._template}, _START_PATIENCE_SECONDS)

    async def _ask(self, request: Mapping[str, Any]) -> str:
        async with self._turn:
            await self._connect()
            return await self._exchange(request, PATIENCE_SECONDS)

    async def _exchange(self, request: Mapping[str, Any], patience_seconds: float) -> str:
        assert self._streams is not None
        reader, writer = self._streams
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            line = await asyncio.wait_for(_flush_and_read(reader, writer), patience_seconds)
            reply = json.loads(line)
        except (asyncio.TimeoutError, TimeoutError):
            self._restart()
            raise RenderFailed(f"it took more than {patience_seconds:g} seconds", timed_out=True) from None
        except (OSError, ValueError):
            self._restart()
            raise RenderFailed("it used up the memory or the time it may have") from None
        except BaseException:
            # Cancelled while the process works: its reply would be taken for the next one's.
            self._restart()
            raise
        if "error" in reply:
            raise RenderFailed(reply["error"])
        return str(reply["text"])

    def _restart(self) -> None:
        self.close()
        self._start()


async def _flush_and_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    await writer.drain()
    return await reader.readline()
