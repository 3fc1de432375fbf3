"""A running llama-server, started with what `inference.core.loads.options` says, listening on a Unix socket."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from inference.core.decoding.generation_options import GenerationOptions
from inference.core.loads.options import LoadOptions

START_SECONDS = 120.0
POLL_SECONDS = 0.002


class ServerFailed(Exception):
    """llama-server ended, or did not become healthy in time; the message carries its last log lines."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


def arguments(options: LoadOptions, n_threads: int) -> list[str]:
    """llama-server's options for the same context: one unified KV cache, each slot limited to its share of it.

    Off, as they would only cost it time here: saving prompts to RAM, the slots page, the web page, fitting to the device.
    """
    values: dict[str, object] = {
        "--ctx-size": options.n_ctx,
        "--parallel": options.n_seq_max,
        "--kv-unified-per-slot": options.n_ctx_seq,
        "--batch-size": options.n_batch,
        "--ubatch-size": options.n_ubatch,
        "--cache-type-k": options.type_k,
        "--cache-type-v": options.type_v,
        "--threads": n_threads,
        "--threads-batch": n_threads,
        "--n-gpu-layers": 1000 if options.n_gpu_layers is None else options.n_gpu_layers,
        "--fit": "off",
        "--cache-ram": 0,
    }
    switches = ["--kv-unified", "--no-slots", "--no-ui", "--cont-batching"]
    return [*(str(part) for pair in values.items() for part in pair), *switches]


def completion(prompt: str, options: GenerationOptions, model: str | None = None) -> bytes:
    """A streaming /completion request as bytes on the wire, to a router with the name of a `model`. Nothing of an earlier prompt is reused, and no token ends the answer early."""
    body = json.dumps(
        {
            **({} if model is None else {"model": model}),
            "prompt": prompt,
            "stream": True,
            "cache_prompt": False,
            "ignore_eos": True,
            "n_predict": options.max_tokens,
            "temperature": options.temperature,
            "top_k": options.top_k,
            "top_p": options.top_p,
            "min_p": options.min_p,
            "repeat_penalty": options.repeat_penalty,
            "seed": 0 if options.seed is None else options.seed,
        }
    ).encode()
    head = (
        "POST /completion HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class LlamaServer:
    """`with LlamaServer(program, model, options, n_threads) as server:` is up and healthy inside the block."""

    def __init__(self, program: Path, model: Path, options: LoadOptions, n_threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hostui-bench-")
        self.address = str(Path(self._folder.name) / "llama.sock")
        self._log = Path(self._folder.name) / "llama-server.log"
        listen = ["--model", str(model), "--host", self.address]
        self._command = [str(program), *listen, *arguments(options, n_threads)]
        self.start_seconds = 0.0
        """From spawning it to its first healthy answer, to within a few milliseconds of polling."""

    def __enter__(self) -> LlamaServer:
        spawned = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            while not self._healthy():
                if self._process.poll() is not None or time.perf_counter() - spawned > START_SECONDS:
                    tail = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
                    raise ServerFailed(f"llama-server did not become healthy (exit {self._process.poll()}):\n{tail}")
                time.sleep(POLL_SECONDS)
        except BaseException:
            self._stop()
            raise
        self.start_seconds = time.perf_counter() - spawned
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _healthy(self) -> bool:
        connection = _UnixConnection(self.address)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
