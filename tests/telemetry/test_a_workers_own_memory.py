"""What the system says of a real worker, against what the worker says of itself."""

from __future__ import annotations

from pathlib import Path

from inference.host.telemetry.readings import Machine
from tests.engine.worker_process import WorkerProcess

LIBRARIES_BYTES = 150 * 10**6
"""A worker's Python and llama.cpp's own, besides the buffers."""


def test_a_workers_weights_and_cache_count_as_its_own_and_not_as_foreign(starter_path: Path, tmp_path: Path) -> None:
    machine = Machine()
    with WorkerProcess(starter_path, tmp_path, n_ctx_seq=2048, n_seq_max=4) as worker:
        ready = worker.report("ready")
        buffers_bytes = ready["weights_bytes"] + ready["kv_bytes"] + ready["compute_bytes"]
        own_bytes = machine.read([worker.process.pid], {}).ram.private_bytes[worker.process.pid]
    assert buffers_bytes < own_bytes < buffers_bytes + LIBRARIES_BYTES


def test_a_process_that_is_gone_holds_nothing(starter_path: Path, tmp_path: Path) -> None:
    with WorkerProcess(starter_path, tmp_path) as worker:
        worker.report("ready")
        worker.stop()
    assert Machine().read([worker.process.pid], {}).ram.private_bytes == {}
