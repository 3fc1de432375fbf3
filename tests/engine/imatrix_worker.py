"""An imatrix worker, asked for a matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models_app.gguf import read_files
from tests.engine.worker_process import Message, WorkerProcess

CHUNK = 512
OPTIONS: dict[str, Any] = {
    "purpose": "imatrix",
    "n_ctx_seq": CHUNK,
    "n_seq_max": 1,
    "n_batch": 128,
    "n_ubatch": 128,
}
Numbers = dict[str, np.ndarray]


def request(text: str, target: Path, **others: Any) -> Message:
    """For the whole text at once, into a new file."""
    target.touch()
    return {
        "type": "imatrix",
        "request_id": "r",
        "text": text,
        "dataset": "words.txt",
        "most_chunks": 2,
        "first_chunk": 0,
        "earlier": None,
        "seconds": 1e9,
        "path": str(target),
        **others,
    }


def read(worker: WorkerProcess, text: str, target: Path, **others: Any) -> list[Message]:
    """All replies; the last one says how it ended."""
    with worker.call(**request(text, target, **others)) as call:
        return list(call)


def made(
    model: Path, folder: Path, text: str, *, most_chunks: int = 2, rpc_servers: tuple[str, ...] = (), **options: Any
) -> Path:
    """The matrix of a worker of its own."""
    target = folder / "made.imatrix.gguf"
    with WorkerProcess(model, folder, rpc_servers=rpc_servers, **OPTIONS, **options) as worker:
        worker.report("ready")
        assert read(worker, text, target, most_chunks=most_chunks)[-1]["type"] == "made", worker.log.read_text()[-2000:]
    return target


def numbers(path: Path) -> Numbers:
    raw = path.read_bytes()
    return {
        tensor.name: np.frombuffer(raw[tensor.offset : tensor.offset + tensor.n_bytes], dtype="<f4")
        for tensor in read_files(path).tensors
    }
