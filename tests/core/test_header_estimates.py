"""A header's remembered answers."""

from __future__ import annotations

from pathlib import Path

from inference.core.planning.header_estimates import HeaderEstimates
from models_app.gguf import read_files
from models_app.memory import Cells, split_work
from tests.gguf_builder import SHAPES, build


def test_an_answer_is_worked_out_once_and_memory_stays_bounded(tmp_path: Path) -> None:
    shape = SHAPES["tiny-gqa"]
    estimates = HeaderEstimates(read_files(build(tmp_path / "x.gguf", shape)))
    work = split_work(shape.n_layers, 2)
    first, buffers = estimates.estimate(Cells(512, 2)), estimates.compute_bytes(Cells(512, 2), work)
    assert first is not None
    assert buffers is not None
    assert estimates.estimate(Cells(512, 2)) is first
    assert estimates.compute_bytes(Cells(512, 2), split_work(shape.n_layers, 2)) is buffers
    for n_ctx in range(256, 256 * 200, 256):
        estimates.estimate(Cells(n_ctx, 2))
    for remembered in (estimates.estimate, estimates.compute_bytes):
        assert remembered.cache_info().maxsize is not None
    assert estimates.estimate.cache_info().currsize == estimates.estimate.cache_info().maxsize
    assert estimates.estimate(Cells(512, 2)) == first
