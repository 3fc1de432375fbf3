"""llama-server as a router: it starts a server for each model that is asked for and, with `--models-max 1`, ends the one before."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from inference.core.decoding.generation_options import GenerationOptions
from inference.core.loads.options import LoadOptions
from tests.bench.llama_server import START_SECONDS, ServerFailed, arguments, completion
from tests.stack import free_port


class Router:
    """`with Router(program, models, options, n_threads) as router:` answers inside the block; no model is loaded yet."""

    def __init__(self, program: Path, models: Sequence[Path], options: LoadOptions, n_threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hostui-bench-")
        folder = Path(self._folder.name)
        for model in models:
            (folder / "models").mkdir(exist_ok=True)
            (folder / "models" / model.name).symlink_to(model)
        self.port = free_port()
        self._log = folder / "router.log"
        limits = ["--models-dir", str(folder / "models"), "--models-max", "1"]
        listen = ["--host", "127.0.0.1", "--port", str(self.port)]
        self._command = [str(program), *limits, *listen, *arguments(options, n_threads)]

    def __enter__(self) -> Router:
        started = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            while not asyncio.run(self._healthy()):
                if self._process.poll() is not None or time.monotonic() - started > START_SECONDS:
                    raise ServerFailed(f"the router did not become healthy:\n{self.said()}")
                time.sleep(0.02)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    async def _healthy(self) -> bool:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            status = await reader.readline()
            writer.close()
            return b" 200 " in status
        return False

    async def stream(self, model: Path, prompt: str, options: GenerationOptions) -> AsyncIterator[dict[str, Any]]:
        """The messages of one answer, as they come. Raises ServerFailed for anything that is no answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(completion(prompt, options, model=model.stem))
            while line := await reader.readline():
                if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
                    message: dict[str, Any] = json.loads(line[6:])
                    yield message
                    if message.get("stop"):
                        return
                elif line.startswith((b"error: ", b'{"error"')):
                    raise ServerFailed(line.decode())
            raise ServerFailed(f"the answer ended early:\n{self.said()}")
        finally:
            writer.close()
