"""A real worker, driven over its real pipes and socket."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from inference.host.workers.environment import worker_environment

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120.0
"""A deadline for what must happen; nothing waits this long unless it is broken."""

Message = dict[str, Any]


class Call:
    """One connection: sends a line, then gives the replies."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(str(path))
        self._lines = self.socket.makefile("rb")

    def send(self, raw: bytes) -> Call:
        self.socket.sendall(raw)
        return self

    def __iter__(self) -> Iterator[Message]:
        for line in self._lines:
            yield json.loads(line)

    def next(self, kind: str) -> Message:
        """The next reply of this type; earlier ones are passed over."""
        for message in self:
            if message["type"] == kind:
                return message
        raise AssertionError(f"the connection ended before a {kind}")

    def close(self) -> None:
        self._lines.close()
        self.socket.close()

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WorkerProcess:
    """Started with a scrubbed environment, as the host starts it."""

    def __init__(
        self,
        model: Path,
        folder: Path,
        *,
        rpc_servers: Sequence[str] = (),
        gpus: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.path = folder / "worker.sock"
        self.log = folder / "worker.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "inference.engine.worker"],
                cwd=ROOT,
                env=worker_environment(os.environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.reports: queue.Queue[Message | None] = queue.Queue()
        threading.Thread(target=self._collect, daemon=True).start()
        launch = {"type": "launch", "path": str(model), "socket": str(self.path), "options": options}
        self.tell({**launch, "rpc_servers": list(rpc_servers), **({} if gpus is None else {"gpus": dict(gpus)})})

    def tell(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def _collect(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.reports.put(json.loads(line))
        self.reports.put(None)

    def report(self, kind: str, **wanted: Any) -> Message:
        """The next report of this type with these values; earlier ones are passed over."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            report = self.reports.get(timeout=max(0.1, deadline - time.monotonic()))
            if report is None:
                raise AssertionError(f"the worker ended before it reported {kind}:\n{self.log.read_text()[-2000:]}")
            if report["type"] == kind and all(report[name] == value for name, value in wanted.items()):
                return report

    def call(self, **message: Any) -> Call:
        return Call(self.path).send(json.dumps(message).encode() + b"\n")

    def generate(self, said: str | list[Message] | None = None, **fields: Any) -> Call:
        """A generation: of a chat with `said`, or of `prompt`. Everything but owner, prompt and request_id is an option."""
        message: Message = {"type": "generate", "request_id": "test", "owner": fields.pop("owner", "ann")}
        if "prompt" in fields:
            message["prompt"] = fields.pop("prompt")
        else:
            message["messages"] = [{"role": "user", "content": said}] if isinstance(said, str) else said
        return self.call(**message, options=fields)

    def ask(self, **message: Any) -> Message:
        """The only reply to `message`."""
        with self.call(**message) as call:
            (reply,) = call
        return reply

    def tokenize(self, text: str) -> list[int]:
        tokens: list[int] = self.ask(type="tokenize", text=text)["tokens"]
        return tokens

    def answer(self, said: str | list[Message] | None = None, **fields: Any) -> list[Message]:
        """All replies to a generation, the last one included."""
        with self.generate(said, **fields) as call:
            return list(call)

    def stop(self) -> int:
        """Ends the worker as the end of its host would, and returns its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE_SECONDS)

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()


def text(replies: list[Message], *, reasoning: bool = False) -> str:
    return "".join(reply["text"] for reply in replies if reply["type"] == "token" and reply["reasoning"] == reasoning)
