"""A real model whose layers mostly look back 512 tokens only: Gemma 3 270M, a base model without a chat template."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.core.loads.options import LoadOptions
from models_app.gguf import read_files
from models_app.memory import compute_bytes, split_work
from tests.engine.test_devices import LINE_BYTES, MIB, OPTIONS, cells_of, estimated
from tests.engine.test_reuse import cached, circle
from tests.engine.worker_process import WorkerProcess, text

pytestmark = pytest.mark.live
LONG = {"n_ctx_seq": 2048, "n_seq_max": 2}


@pytest.fixture(scope="module")
def gemma(gemma_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    with WorkerProcess(gemma_path, tmp_path_factory.mktemp("gemma-worker"), **LONG) as worker:
        yield worker


def test_a_base_model_goes_on_with_a_text(gemma: WorkerProcess) -> None:
    ready = gemma.report("ready")
    assert ready["mode"] == "completion"
    assert ready["mode_reason"]
    assert text(gemma.answer(prompt="One, two, three, four,", temperature=0, max_tokens=8)).startswith(" five, six")


def test_it_holds_what_its_header_told(gemma_path: Path, tmp_path: Path) -> None:
    header, options = read_files(gemma_path), {**OPTIONS, **LONG, "n_gpu_layers": 0}
    with WorkerProcess(gemma_path, tmp_path, **options) as worker:
        (ram,) = worker.report("ready")["devices"]
    asked = LoadOptions.from_json(options)
    estimate = estimated(header, asked)
    assert ram["weights_bytes"] == pytest.approx(estimate.host_weights_bytes, abs=LINE_BYTES)
    assert ram["kv_bytes"] == pytest.approx(estimate.host_cache_bytes, abs=LINE_BYTES)
    assert header.n_layers is not None
    cells = cells_of(asked)
    buffers = compute_bytes(header, cells, cells.n_seq_max, split_work(header.n_layers, 0))
    assert buffers is not None
    assert estimate.output_buffer_bytes is not None
    whole = buffers[0] + estimate.output_buffer_bytes
    assert ram["compute_bytes"] <= whole + LINE_BYTES
    assert whole <= max(1.03 * ram["compute_bytes"], ram["compute_bytes"] + 64 * MIB)


def test_what_lies_beyond_the_window_is_never_reused_wrongly(gemma: WorkerProcess) -> None:
    head = "The tide comes in and the tide goes out. " * 80
    one, two = head + circle("red green blue"), head + circle("1 2 3")
    first = gemma.answer(prompt=one, owner="ann", temperature=0, max_tokens=6)
    assert first[0]["total"] > 3 * 512 // 2
    again = gemma.answer(prompt=one, owner="ann", temperature=0, max_tokens=6)
    changed = gemma.answer(prompt=two, owner="ann", temperature=0, max_tokens=6)
    fresh = gemma.answer(prompt=two, owner="bob", temperature=0, max_tokens=6)
    assert text(again) == text(first)
    assert text(changed) == text(fresh)
    assert cached(fresh) == 0
