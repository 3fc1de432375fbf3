from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.worker_process import WorkerProcess


@pytest.fixture(scope="module")
def worker(starter_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker with the starter model, two slots of 1,024 tokens, shared by a module's tests."""
    with WorkerProcess(starter_path, tmp_path_factory.mktemp("worker"), n_ctx_seq=1024, n_seq_max=2) as process:
        process.report("ready")
        yield process
