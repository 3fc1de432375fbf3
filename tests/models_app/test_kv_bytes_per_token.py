from __future__ import annotations

from pathlib import Path

import pytest

from models_app.gguf import read_files
from models_app.memory import kv_bytes_per_token
from tests.gguf_builder import SHAPES, build


def test_the_starter_takes_22_5_kib_a_token(starter_path: Path) -> None:
    assert kv_bytes_per_token(read_files(starter_path)) == 30 * 3 * (64 + 64) * 2 == 23040


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("llama-7b", 32 * 32 * 256 * 2),
        ("llama-8b", 32 * 8 * 256 * 2),
        ("llama-70b", 80 * 8 * 256 * 2),
        ("mixtral-8x7b", 32 * 8 * 256 * 2),
        ("gemma3-12b", 48 * 8 * 512 * 2),
        ("deepseek-v3", 61 * 576 * 2),
        ("mamba-2.8b", None),
        ("jamba-52b", None),
        ("qwen3-next-80b-a3b", None),
    ],
)
def test_each_shape_takes_what_llama_cpp_allocates(shape: str, expected: int | None, tmp_path: Path) -> None:
    assert kv_bytes_per_token(read_files(build(tmp_path / "x.gguf", SHAPES[shape]))) == expected


def test_unknown_architectures_are_unknown(tmp_path: Path) -> None:
    path = build(tmp_path / "x.gguf", SHAPES["tiny-gqa"], metadata={"general.architecture": "from-next-year"})
    assert kv_bytes_per_token(read_files(path)) is None


@pytest.mark.parametrize("key", ["llama.block_count", "llama.attention.head_count", "llama.embedding_length"])
def test_a_header_that_lacks_what_it_takes_tells_nothing(key: str, tmp_path: Path) -> None:
    metadata = {key: None, "llama.attention.head_count_kv": None} if key.endswith("head_count") else {key: None}
    path = build(tmp_path / "x.gguf", SHAPES["tiny-gqa"], metadata=metadata)
    assert kv_bytes_per_token(read_files(path)) is None


def test_value_heads_of_another_length_count_as_such(tmp_path: Path) -> None:
    metadata = {"llama.attention.key_length": 128, "llama.attention.value_length": 64}
    path = build(tmp_path / "x.gguf", SHAPES["tiny-gqa"], metadata=metadata)
    assert kv_bytes_per_token(read_files(path)) == 4 * 2 * (128 + 64) * 2


def test_layers_with_different_heads_count_as_the_padded_cache_does(tmp_path: Path) -> None:
    path = build(tmp_path / "x.gguf", SHAPES["tiny-gqa"], metadata={"llama.attention.head_count_kv": (4, 1, 1, 2)})
    assert kv_bytes_per_token(read_files(path)) == (8 * 64 + 4 * 4 * 64) * 2
