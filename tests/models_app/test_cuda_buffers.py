"""Compute buffers told from the header against those that llama.cpp's CUDA backend reserved, as cuda_buffers.json keeps them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from models_app.gguf import read_files
from models_app.memory import Cells, ComputeBuffers
from tests.gguf_builder import TINY, Shape, build
from tests.models_app.cuda_buffers import MIB, Reserved, recorded
from tests.models_app.test_compute_buffers import FOLLOWED

MOST_ABOVE, MOST_ABOVE_MIXED, MOST_ABOVE_BYTES = 1.03, 1.25, 64 * MIB
"""Of the buffers alone; layers of several kinds do not follow each other as regularly."""
MIXED = {"gemma3-12b", "qwen3-next-80b-a3b"}
LOG_DIGIT_MIB = 0.005
UNTOLD = {"tiny-mla", "tiny-mamba", "mamba-2.8b"}
"""Heads that no card attends to, and layers that work across two cards: there may be no figure, but never a wrong one."""

BY_SHAPE: dict[str, list[Reserved]] = defaultdict(list)
for _each in recorded():
    BY_SHAPE[_each.load.shape].append(_each)


def test_every_shape_was_recorded_on_one_card_and_the_tiny_ones_on_two() -> None:
    assert set(BY_SHAPE) == {shape.name for shape in FOLLOWED}
    assert {row.load.shape for rows in BY_SHAPE.values() for row in rows if len(row.load.by_card) == 2} == {
        shape.name for shape in TINY if shape in FOLLOWED
    }


@pytest.mark.parametrize("shape", FOLLOWED, ids=lambda shape: shape.name)
def test_never_below_and_hardly_above_what_a_card_and_the_host_reserve(shape: Shape, tmp_path: Path) -> None:
    buffers = ComputeBuffers(read_files(build(tmp_path / "shape.gguf", shape)))
    most_above = MOST_ABOVE_MIXED if shape.name in MIXED else MOST_ABOVE
    for row in BY_SHAPE[shape.name]:
        cells = Cells(**row.layout)
        told = buffers.sizes(cells, cells.n_seq_max, row.load.work)
        if told is None and shape.name in UNTOLD:
            continue
        assert told is not None, row
        # Of a dry run the card's alone was recorded.
        for told_bytes, real_mib in zip(told[-len(row.mib) :], row.mib, strict=True):
            assert (real_mib - LOG_DIGIT_MIB) * MIB <= told_bytes, row
            assert told_bytes <= max(most_above * real_mib * MIB, real_mib * MIB + MOST_ABOVE_BYTES), row
