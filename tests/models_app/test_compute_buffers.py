"""Compute buffers told from the header against what llama.cpp reserves, for every shape, split, context and batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models_app.gguf import read_files
from models_app.gguf.quantization import TENSOR_TYPES_BY_NAME
from models_app.memory import Cells, compute_bytes, split_work
from tests.gguf_builder import LARGE, SHAPES, TINY, Shape, build
from tests.gguf_shapes_more import MORE
from tests.models_app.conftest import LoadInLlama

MIB = 1 << 20
FOLLOWED = tuple(shape for shape in (*TINY, *LARGE, *MORE) if shape.architecture != "jamba")
LAYOUTS: tuple[dict[str, Any], ...] = (
    {"n_ctx": 4096, "n_seq_max": 5, "flash_attention": False},
    {"n_ctx": 32768, "n_seq_max": 5},
    {"n_ctx": 16384, "n_seq_max": 5, "type_k": "q8_0", "type_v": "q8_0"},
    {"n_ctx": 8192, "n_seq_max": 17, "n_ubatch": 1024, "flash_attention": False},
    {"n_ctx": 4096, "n_seq_max": 2, "n_ubatch": 2048},
    {"n_ctx": 65536, "n_seq_max": 9, "n_ubatch": 64, "type_k": "q4_0", "type_v": "q4_0"},
)


def context_params(layout: dict[str, Any]) -> dict[str, Any]:
    """As the worker asks for them: as many rows of logits as sequences."""
    cells = Cells(**layout)
    return {
        "n_ctx": cells.n_ctx,
        "n_batch": max(2048, cells.n_ubatch),
        "n_ubatch": cells.n_ubatch,
        "n_seq_max": cells.n_seq_max,
        "n_outputs_max": cells.n_seq_max,
        "flash_attn_type": -1 if cells.flash_attention else 0,
        "kv_unified": True,
        "swa_full": False,
        "type_k": TENSOR_TYPES_BY_NAME[cells.type_k].number,
        "type_v": TENSOR_TYPES_BY_NAME[cells.type_v].number,
    }


@pytest.mark.live
@pytest.mark.parametrize("shape", FOLLOWED, ids=lambda shape: shape.name)
def test_never_below_and_hardly_above_what_llama_cpp_reserves(
    shape: Shape, tmp_path: Path, load_in_llama: LoadInLlama, rpc_device: str
) -> None:
    path = build(tmp_path / "shape.gguf", shape)
    header = read_files(path)
    n_gpu_layers_tried = (1, 2, shape.n_layers + 1) if shape in TINY else (shape.n_layers // 2, shape.n_layers + 1)
    for n_gpu_layers in n_gpu_layers_tried:
        contexts = [context_params(layout) for layout in LAYOUTS]
        real = load_in_llama(path, no_alloc=True, rpc=rpc_device, n_gpu_layers=n_gpu_layers, contexts=contexts)
        for layout, context in zip(LAYOUTS, real["contexts"], strict=True):
            cells = Cells(**layout)
            mine = compute_bytes(header, cells, cells.n_seq_max, split_work(shape.n_layers, n_gpu_layers))
            assert mine is not None
            for name, told_bytes in zip(("CPU", "RPC"), mine, strict=True):
                real_bytes = MIB * sum(
                    size for device, size in context["compute_mib"].items() if device.startswith(name)
                )
                where = (n_gpu_layers, layout, name)
                assert real_bytes <= told_bytes, where
                assert told_bytes <= max(1.03 * real_bytes, real_bytes + 8 * MIB), where


def test_an_architecture_whose_graph_is_not_followed_tells_nothing(tmp_path: Path) -> None:
    shape = SHAPES["tiny-gqa"]
    path = build(tmp_path / "x.gguf", shape, metadata={"general.architecture": "from-next-year"})
    assert compute_bytes(read_files(path), Cells(4096, 1), 1, split_work(shape.n_layers, 0)) is None
    jamba = SHAPES["tiny-jamba"]
    path = build(tmp_path / "y.gguf", jamba)
    assert compute_bytes(read_files(path), Cells(4096, 1), 1, split_work(jamba.n_layers, 0)) is None


@pytest.mark.parametrize("missing", ["attention.head_count", "embedding_length", "vocab_size"])
def test_a_header_that_lacks_what_it_takes_tells_nothing(missing: str, tmp_path: Path) -> None:
    path = build(tmp_path / "x.gguf", SHAPES["tiny-gqa"], metadata={f"llama.{missing}": None})
    assert compute_bytes(read_files(path), Cells(4096, 1), 1, split_work(4, 0)) is None


def test_logits_of_every_token_would_cost_far_more(tmp_path: Path) -> None:
    """Why the worker asks for one row a sequence."""
    shape = SHAPES["llama-8b"]
    header = read_files(build(tmp_path / "x.gguf", shape))
    cells = Cells(4096, 5)
    rows = compute_bytes(header, cells, 5, split_work(shape.n_layers, None))
    everything = compute_bytes(header, cells, None, split_work(shape.n_layers, None))
    assert rows is not None
    assert everything is not None
    assert everything[1] - rows[1] > 128 * MIB


@pytest.mark.parametrize("shape", FOLLOWED, ids=lambda shape: shape.name)
def test_equal_layers_left_out_change_nothing(shape: Shape, tmp_path: Path) -> None:
    header = read_files(build(tmp_path / "x.gguf", shape))
    work = split_work(shape.n_layers, shape.n_layers // 2)
    short = compute_bytes(header, Cells(8192, 5), 5, work)
    assert short == compute_bytes(header, Cells(8192, 5), 5, work, every_layer=True)
