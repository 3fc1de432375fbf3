"""The builder's files are what they claim: llama.cpp itself loads and decodes them, and counts the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from models_app.gguf import read_files
from models_app.gguf.quantization import QUANTIZATION_TYPES_BY_NAME
from models_app.memory import kv_bytes_per_token
from tests.gguf_builder import LARGE, SHAPES, TINY, Shape, build
from tests.models_app.conftest import LoadInLlama

pytestmark = pytest.mark.live

N_CTX = 1024


@pytest.mark.parametrize("shape", TINY, ids=lambda shape: shape.name)
def test_random_bodies_decode_and_their_kv_cache_is_as_predicted(
    shape: Shape, tmp_path: Path, load_in_llama: LoadInLlama
) -> None:
    path = build(tmp_path / "tiny.gguf", shape, body="random")
    layout = {"n_ctx": N_CTX, "n_seq_max": 2, "kv_unified": True, "swa_full": True}
    found = load_in_llama(path, contexts=[layout], decode=True)
    (context,) = found["contexts"]
    assert context["decoded"]
    assert context["finite"]
    assert context["distinct_logits"] > shape.n_vocab // 2
    header = read_files(path)
    assert (found["n_params"], found["tensor_bytes"]) == (header.n_params, header.tensor_bytes)
    predicted = kv_bytes_per_token(header)
    if predicted is None:
        assert sum(context["recurrent_mib"].values()) > 0
    else:
        assert context["recurrent_mib"] == {}
        assert predicted * N_CTX / 2**20 == pytest.approx(sum(context["kv_mib"].values()), abs=0.01)


@pytest.mark.parametrize("shape", LARGE, ids=lambda shape: shape.name)
def test_sparse_bodies_load_without_allocating(shape: Shape, tmp_path: Path, load_in_llama: LoadInLlama) -> None:
    path = build(tmp_path / "large.gguf", shape, quantization="Q4_K_M")
    assert path.stat().st_blocks * 512 < 256 * 1024
    found = load_in_llama(path, no_alloc=True, contexts=[{"n_ctx": 4096}])
    header = read_files(path)
    assert found["contexts"][0]["compute_mib"]["CPU"] > 0
    assert (found["n_layers"], found["n_params"]) == (shape.n_layers, header.n_params)
    assert found["tensor_bytes"] == header.tensor_bytes


@pytest.mark.parametrize(
    "quantization",
    ["F16", "Q8_0", "Q4_K_M", "IQ4_XS", "TQ2_0", "MXFP4"],
)
def test_random_bodies_decode_in_many_types(quantization: str, tmp_path: Path, load_in_llama: LoadInLlama) -> None:
    path = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"], quantization=quantization, body="random")
    assert read_files(path).quantization == quantization
    types = {tensor.type for tensor in read_files(path).tensors}
    assert QUANTIZATION_TYPES_BY_NAME[quantization].tensor_type in types
    (context,) = load_in_llama(path, contexts=[{"n_ctx": 256}], decode=True)["contexts"]
    assert context["decoded"]
    assert context["finite"]


def test_a_split_file_loads_from_its_first_shard(tmp_path: Path, load_in_llama: LoadInLlama) -> None:
    path = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"], body="random", split=3)
    found = load_in_llama(path, contexts=[{"n_ctx": 256}], decode=True)
    assert found["contexts"][0]["decoded"]
    assert found["n_params"] == read_files(path).n_params


def test_a_real_vocabulary_can_be_borrowed(
    tmp_path: Path, vocabularies: list[Path], load_in_llama: LoadInLlama
) -> None:
    (source,) = [path for path in vocabularies if path.name == "ggml-vocab-qwen2.gguf"]
    path = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"], body="random", vocabulary=source)
    header = read_files(path)
    assert header.n_vocab == read_files(source).n_vocab == 151936
    assert header.chat_template == read_files(source).chat_template
    assert load_in_llama(path, contexts=[{"n_ctx": 256}], decode=True)["contexts"][0]["decoded"]


def test_the_same_arguments_make_the_same_bytes(tmp_path: Path) -> None:
    first, second, other = (
        build(tmp_path / f"{number}.gguf", SHAPES["tiny-gqa"], body="random", seed=number // 2).read_bytes()
        for number in range(3)
    )
    assert first == second
    assert first != other


def test_released_models_have_their_released_sizes(tmp_path: Path) -> None:
    """Parameters and GiB as published for the files of these models."""
    for name, n_params, gib in (
        ("llama-7b", 6_738_415_616, 3.80),
        ("llama-8b", 8_030_261_248, 4.58),
        ("llama-70b", 70_553_706_496, 39.59),
        ("mixtral-8x7b", 46_702_792_704, 26.3),
        ("deepseek-v3", 671_026_404_352, 376.7),
    ):
        header = read_files(build(tmp_path / f"{name}.gguf", SHAPES[name], quantization="Q4_K_M"))
        assert header.n_params == n_params
        assert header.size_bytes / 2**30 == pytest.approx(gib, rel=0.01)
