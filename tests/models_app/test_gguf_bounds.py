"""Numbers of a header that no file of these tensors can have are refused where the header is read."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from models_app.gguf import BadGguf, bounds, combine, read_files
from models_app.gguf.header import MOST_LAYERS
from models_app.memory import Allocation, Cells, ComputeBuffers, estimate, layer_caches, split_work
from tests.gguf_builder import LARGE, SHAPES, TINY, Raw, build
from tests.gguf_shapes import Qwen3Moe, TensorPlan
from tests.gguf_shapes_more import MORE
from tests.odd_headers import little_memory, numeric_keys, odd_values, shapes


def reason(path: Path, shape: str, **metadata: Any) -> str:
    architecture = SHAPES[shape].architecture
    with pytest.raises(BadGguf) as refused:
        read_files(
            build(path / "x.gguf", SHAPES[shape], metadata={f"{architecture}.{k}": v for k, v in metadata.items()})
        )
    assert refused.value.offset == 0
    return refused.value.reason


@pytest.mark.parametrize("shape", [*TINY, *LARGE, *MORE], ids=lambda shape: shape.name)
def test_real_shapes_are_read(tmp_path: Path, shape: Any) -> None:
    assert read_files(build(tmp_path / "x.gguf", shape)).n_layers == shape.n_layers


def test_real_files_are_read(starter_path: Path, gemma_path: Path, llama_sdist: Path) -> None:
    vocabularies = sorted((llama_sdist / "vendor/llama.cpp/models").glob("ggml-vocab-*.gguf"))
    assert len(vocabularies) > 10
    for path in (starter_path, gemma_path, *vocabularies):
        read_files(path)


def test_the_maxima_are_llama_cpps(llama_sdist: Path) -> None:
    text = (llama_sdist / "vendor/llama.cpp/src/llama-hparams.h").read_text()
    maxima = {name: int(number) for name, number in re.findall(r"#define (LLAMA_MAX_\w+)\s+(\d+)", text)}
    assert (maxima["LLAMA_MAX_EXPERTS"], maxima["LLAMA_MAX_LAYERS"]) == (bounds.MOST_EXPERTS, MOST_LAYERS)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("block_count", 1 << 31, "llama.block_count is 2147483648, and only 1 to 512 is possible in this file"),
        ("block_count", 0, "llama.block_count is 0, and only 1 to 512 is possible in this file"),
        ("block_count", 5, "llama.block_count is 5, and the tensors are those of 4 layers"),
        ("block_count", 3, "llama.block_count is 3, and the tensors are those of 4 layers"),
        ("block_count", 500, "llama.block_count is 500, and there are only 39 tensors"),
        ("block_count", 4.0, "llama.block_count is 4.0, not a whole number"),
        ("block_count", True, "llama.block_count is True, not a whole number"),
        ("block_count", "4", "llama.block_count is the text '4', not a whole number"),
        ("block_count", (4,), "llama.block_count is an array of 1, not one number"),
        ("context_length", 1 << 31, "llama.context_length is 2147483648, and only 1 to 2147483647 is possible"),
        ("context_length", 0, "llama.context_length is 0"),
        ("embedding_length", 257, "llama.embedding_length is 257, and the tokens' embedding has 256"),
        ("attention.head_count", 513, "llama.attention.head_count is 513, and only 0 to 512 is possible"),
        ("attention.head_count", (4, 4), "llama.attention.head_count has numbers for 2 layers, and there are 4"),
        ("attention.head_count_kv", (4, 4, 4, -1), "llama.attention.head_count_kv is -1"),
        ("attention.head_count_kv", (0.5,) * 4, "llama.attention.head_count_kv holds 0.5, not a whole number"),
        ("attention.head_count_kv", (2,) * 2000, "llama.attention.head_count_kv has numbers for 2000 layers"),
        ("attention.key_length", 511, "its 2 heads of 511 numbers are wider than any of its tensors"),
        ("attention.sliding_window", 1 << 31, "llama.attention.sliding_window is 2147483648"),
        ("attention.shared_kv_layers", 5, "llama.attention.shared_kv_layers is 5, and only 0 to 4 is possible"),
        ("expert_count", 1025, "llama.expert_count is 1025, and only 0 to 1024 is possible"),
        ("expert_used_count", 1, "it uses 1 experts at a time, and has 0"),
        ("ssm.inner_size", 1 << 31, "llama.ssm.inner_size is 2147483648"),
        ("vocab_size", 513, "llama.vocab_size is 513, and no tensor is that long"),
        ("rope.freq_base", float("nan"), "llama.rope.freq_base is nan"),
        ("rope.freq_base", float("inf"), "llama.rope.freq_base is inf"),
        ("attention.layer_norm_rms_epsilon", "small", "is the text 'small', not a number"),
        ("of_its_own", float("nan"), "llama.of_its_own is not a number"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path: Path, key: str, value: Any, said: str) -> None:
    assert said in reason(tmp_path, "tiny-gqa", **{key: value})


def test_experts_are_those_of_the_tensors(tmp_path: Path) -> None:
    assert "llama.expert_count is 8, and its tensors hold 4" in reason(tmp_path, "tiny-moe", expert_count=8)
    assert "it uses 5 experts at a time, and has 4" in reason(tmp_path, "tiny-moe", expert_used_count=5)
    assert "it uses 0 experts at a time, and has 4" in reason(tmp_path, "tiny-moe", expert_used_count=None)


def test_layers_that_only_predict_further_tokens_may_be_left_out(tmp_path: Path) -> None:
    metadata = {"llama.block_count": 5, "llama.nextn_predict_layers": 1}
    assert read_files(build(tmp_path / "x.gguf", SHAPES["tiny-gqa"], metadata=metadata)).n_layers == 5


def test_shards_are_judged_together(tmp_path: Path) -> None:
    whole = build(tmp_path / "x.gguf", SHAPES["tiny-gqa"], split=3)
    assert read_files(whole).n_layers == 4
    huge = {"llama.block_count": Raw(4, struct.pack("<I", 1 << 31))}
    with pytest.raises(BadGguf, match="block_count"):
        read_files(build(tmp_path / "y.gguf", SHAPES["tiny-gqa"], split=3, metadata=huge))


@pytest.mark.parametrize("shape", shapes(), ids=lambda shape: shape.name)
def test_no_number_makes_a_header_cost_memory_or_time(tmp_path: Path, shape: Any) -> None:
    """Every numeric key of the shape, with every odd value."""
    odd = odd_values(tmp_path)
    good = read_files(build(tmp_path / "x.gguf", shape))
    cells, n_read, said = Cells(4096, 1), 0, set()
    with little_memory():
        for number, (key, what) in enumerate(product(numeric_keys(shape), odd)):
            began = time.process_time()
            metadata = {name: value for name, value in good.metadata.items() if name != key}
            try:
                header = combine(
                    [replace(good, metadata=metadata if what == "missing" else {**metadata, key: odd[what]})]
                )
            except BadGguf as bad:
                said.add(bad.reason)
                continue
            n_read += 1
            layers = layer_caches(header)
            assert layers is None or len(layers) == header.n_layers
            assert estimate(header, Allocation(cells)) is not None or header.n_layers is None
            if number % 8 == 0 and header.n_layers is not None:
                ComputeBuffers(header).sizes(cells, 1, split_work(header.n_layers, None))
            assert time.process_time() - began < 2, (key, what)
    assert n_read
    assert said
    assert not any(reason.endswith(".") for reason in said)


def test_layers_and_experts_without_end_are_allowed_for_and_not_followed(tmp_path: Path) -> None:
    endless = _Endless("endless", "qwen3moe", MOST_LAYERS, 256, 512, 512, n_heads=4, n_kv_heads=2, head_length=128,
                       n_experts=1024, n_experts_used=1024, n_ff_experts=256)  # fmt: skip
    header = read_files(build(tmp_path / "x.gguf", endless))
    began = time.process_time()
    assert ComputeBuffers(header).sizes(Cells(4096, 1), 1, split_work(MOST_LAYERS, None)) is None
    assert time.process_time() - began < 2


class _Endless(Qwen3Moe):
    """No layer is like the one before."""

    def layer(self, number: int) -> Iterator[TensorPlan]:
        yield from super().layer(number)
        yield TensorPlan(f"blk.{number}.odd{number}.weight", (256,), "norm")
