"""A worker without a model, at our own seam: speaks engine.protocol and does what the "GGUF file" it is launched with says.

The file is a JSON object. `load`: "" (ready at once), "segv", "refuse", "exit", "long_line", "malformed" or "stall";
`gate`: a FIFO that holds the load at 50 % until somebody opens it for writing; `noise`: lines of garbage on standard output;
`deaf`: never answers a ping; `pings`: a FIFO that gets a byte for each ping answered; `weights_bytes`: what it measures, `device`: where.
A prompt says what the answer does: "hold" sends one token and then waits for the caller to leave, "segv" crashes after one
token, "freeze" stops decoding but reports on, anything else is echoed word by word. So does a text that is to be read: "hold" stops
after the first of two chunks.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from inference.engine import protocol


def say(report: dict[str, Any]) -> None:
    sys.stdout.buffer.write(protocol.encode(report))
    sys.stdout.buffer.flush()


def crash() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stderr.write("fake: invalid memory access\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGSEGV)


class FakeWorker:
    def __init__(self, launch: dict[str, Any], script: dict[str, Any]) -> None:
        self.launch = launch
        self.script = script
        self.busy = 0
        self.tokens_total = 0
        # Open for both, so that it waits for no reader.
        self.pings = os.open(script["pings"], os.O_RDWR) if "pings" in script else None

    def stats(self, step_age_seconds: float | None = None) -> None:
        say(
            {
                "type": "stats",
                "slots_busy": self.busy,
                "tokens_per_second": 10.0 * self.busy,
                "tokens_total": self.tokens_total,
                "step_age_seconds": step_age_seconds,
            }
        )

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await protocol.read(reader)
        if request is None:
            writer.close()
            return
        if request["type"] == "imatrix":
            await self.read(request, reader, writer)
            return
        if request["type"] == "ping":
            if not self.script.get("deaf"):
                writer.write(protocol.encode({"type": "pong", "decode_ms": 1.0}))
                writer.close()
                if self.pings is not None:
                    os.write(self.pings, b"!")
            return
        self.busy += 1
        self.stats(0.0)
        prompt = request["prompt"]
        words = prompt.split()
        self.token(writer, 1, words[0])
        await writer.drain()
        if prompt == "segv":
            crash()
        elif prompt == "freeze":
            self.stats(3600.0)
            await reader.read()
        elif prompt == "hold":
            await reader.read()
        else:
            for n, word in enumerate(words[1:], 2):
                self.token(writer, n, " " + word)
            timings = {"prompt_n": 1, "cache_n": 0, "prompt_ms": 1.0, "predicted_n": len(words), "predicted_ms": 1.0}
            writer.write(protocol.encode({"type": "done", "reason": "stop", "stop_string": None, "timings": timings}))
        self.busy -= 1
        self.stats()
        writer.close()

    async def read(self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A matrix of nothing but the purpose that this worker was launched with."""
        writer.write(protocol.encode({"type": "chunk", "done": 1, "total": 2}))
        await writer.drain()
        if request["text"] == "segv":
            crash()
        elif request["text"] == "hold":
            await reader.read()
        else:
            with open(request["path"], "w") as made:  # noqa: ASYNC230  three bytes
                made.write(self.launch["options"].get("purpose", "chat"))
            writer.write(protocol.encode({"type": "chunk", "done": 2, "total": 2}))
            writer.write(protocol.encode({"type": "made", "n_chunks": 2, "seconds": 0.1}))
        writer.close()

    def token(self, writer: asyncio.StreamWriter, n: int, text: str) -> None:
        self.tokens_total += 1
        writer.write(protocol.encode({"type": "token", "n": n, "text": text, "reasoning": False}))

    async def run(self) -> None:
        options = self.launch["options"]
        await asyncio.start_unix_server(self.answer, self.launch["socket"])
        os.chmod(self.launch["socket"], 0o600)
        say({"type": "loading", "fraction": 1.0})
        say(
            {
                "type": "ready",
                "n_ctx": options["n_ctx_seq"] * options["n_seq_max"],
                "n_ctx_seq": options["n_ctx_seq"],
                "n_seq_max": options["n_seq_max"],
                "n_ctx_train": 4096,
                "n_layers": 2,
                "n_gpu_layers": 0,
                "mode": "chat",
                "mode_reason": None,
                "weights_bytes": self.script.get("weights_bytes", 1),
                "kv_bytes": 1,
                "compute_bytes": 1,
                "devices": [
                    {
                        "device": self.script.get("device", "ram"),
                        "name": "RAM",
                        "weights_bytes": self.script.get("weights_bytes", 1),
                        "kv_bytes": 1,
                        "compute_bytes": 1,
                        "overhead_bytes": 0,
                    }
                ],
                "load_seconds": 0.01,
            }
        )
        await asyncio.Event().wait()


def end_with_host() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)


def main() -> None:
    launch = protocol.decode(sys.stdin.buffer.readline())
    threading.Thread(target=end_with_host, daemon=True).start()
    script = json.loads(Path(launch["path"]).read_text())
    for _ in range(script.get("noise", 0)):
        sys.stdout.write("llama_something: noise\n{\n[]\n")
    sys.stdout.flush()
    say({"type": "loading", "fraction": 0.5})
    if gate := script.get("gate"):
        with open(gate):
            pass
    match script.get("load", ""):
        case "segv":
            crash()
        case "refuse":
            say({"type": "failed", "reason": "bad_file", "detail": "The file ends before its tensors do."})
            os._exit(1)
        case "exit":
            os._exit(7)
        case "long_line":
            sys.stdout.write("x" * 3_000_000 + "\n")
            sys.stdout.flush()
            threading.Event().wait()
        case "malformed":
            say({"type": "ready", "n_ctx": "many"})
            threading.Event().wait()
        case "stall":
            threading.Event().wait()
    asyncio.run(FakeWorker(launch, script).run())


if __name__ == "__main__":
    main()
