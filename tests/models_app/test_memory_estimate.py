"""The header estimate against the buffers that llama.cpp really allocates, to the last digit that its log prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models_app.gguf import Header, read_files
from models_app.gguf.quantization import TENSOR_TYPES_BY_NAME
from models_app.memory import Allocation, Cells, Estimate, estimate, kv_bytes_per_token, layer_caches
from tests.gguf_builder import LARGE, SHAPES, TINY, Shape, build
from tests.models_app.conftest import LoadInLlama
from tests.properties import examples

LAYOUTS: dict[str, dict[str, Any]] = {
    "one sequence": {"n_ctx": 4096, "n_seq_max": 1},
    "unified, odd context": {"n_ctx": 4000, "n_seq_max": 4, "n_ubatch": 256},
    "a stream each": {"n_ctx": 4096, "n_seq_max": 3, "n_ubatch": 128, "kv_unified": False},
    "quantized": {"n_ctx": 2048, "n_seq_max": 2, "type_k": "q8_0", "type_v": "q8_0"},
    "full windows": {"n_ctx": 8192, "n_seq_max": 5, "swa_full": True},
    "long": {"n_ctx": 32768, "n_seq_max": 9},
}


def estimated(path: Path, layout: dict[str, Any], **wishes: Any) -> Estimate:
    found = estimate(read_files(path), Allocation(Cells(**layout), **wishes))
    assert found is not None
    return found


def context_params(layout: dict[str, Any]) -> dict[str, Any]:
    """The layout as llama.cpp's context parameters."""
    spelled = {"kv_unified": True, "swa_full": False, "n_outputs_max": layout["n_seq_max"], **layout}
    return {
        key: TENSOR_TYPES_BY_NAME[value].number if key.startswith("type_") else value for key, value in spelled.items()
    }


def cache_mib(context: dict[str, Any], device: str) -> float:
    """KV cache and recurrent state that llama.cpp put on the device whose name begins so."""
    sizes = [*context["kv_mib"].items(), *context["recurrent_mib"].items()]
    return sum(size for name, size in sizes if name.startswith(device))


@pytest.mark.live
@pytest.mark.parametrize("shape", TINY, ids=lambda shape: shape.name)
def test_cache_weights_and_outputs_take_what_llama_cpp_allocates(
    shape: Shape, tmp_path: Path, load_in_llama: LoadInLlama
) -> None:
    path = build(tmp_path / "tiny.gguf", shape, body="random")
    real = load_in_llama(path, contexts=[context_params(layout) for layout in LAYOUTS.values()])
    for (name, layout), context in zip(LAYOUTS.items(), real["contexts"], strict=True):
        mine = estimated(path, layout, n_gpu_layers=0)
        assert mine.host_cache_bytes is not None
        assert mine.output_buffer_bytes is not None
        assert mine.host_cache_bytes / 2**20 == pytest.approx(cache_mib(context, "CPU"), abs=0.03), name
        assert mine.output_buffer_bytes / 2**20 == pytest.approx(context["output_mib"]["CPU"], abs=0.01), name
        assert mine.host_weights_bytes == real["tensor_bytes"]
        assert (mine.gpu_cache_bytes, mine.gpu_weights_bytes) == (0, 0)


@pytest.mark.live
@pytest.mark.parametrize("shape", TINY, ids=lambda shape: shape.name)
def test_a_device_gets_the_bytes_predicted_for_it_at_every_split(
    shape: Shape, tmp_path: Path, load_in_llama: LoadInLlama, rpc_device: str
) -> None:
    path = build(tmp_path / "tiny.gguf", shape, body="random")
    layout = {"n_ctx": 4096, "n_seq_max": 2}
    for n_gpu_layers in (1, shape.n_layers // 2 + 1, shape.n_layers + 1):
        mine = estimated(path, layout, n_gpu_layers=n_gpu_layers)
        real = load_in_llama(path, rpc=rpc_device, n_gpu_layers=n_gpu_layers, contexts=[context_params(layout)])
        (context,) = real["contexts"]
        on_gpu = sum(size for name, size in real["weights_mib"].items() if name.startswith("RPC"))
        assert mine.gpu_cache_bytes is not None
        assert mine.host_cache_bytes is not None
        assert mine.gpu_weights_bytes / 2**20 == pytest.approx(on_gpu, abs=0.02), n_gpu_layers
        assert mine.gpu_cache_bytes / 2**20 == pytest.approx(cache_mib(context, "RPC"), abs=0.02), n_gpu_layers
        assert mine.host_cache_bytes / 2**20 == pytest.approx(cache_mib(context, "CPU"), abs=0.02), n_gpu_layers


@pytest.mark.parametrize("shape", [*TINY, *LARGE], ids=lambda shape: shape.name)
def test_every_byte_of_the_file_has_a_place_at_every_split(shape: Shape, tmp_path: Path) -> None:
    path = build(tmp_path / "model.gguf", shape)
    header = read_files(path)
    assert header.n_layers is not None
    whole = estimated(path, {"n_ctx": 4096, "n_seq_max": 1}, n_gpu_layers=0)
    for n_gpu_layers in (0, 1, 2, header.n_layers, header.n_layers + 1, None):
        split = estimated(path, {"n_ctx": 4096, "n_seq_max": 1}, n_gpu_layers=n_gpu_layers)
        copied = split.tied_bytes if n_gpu_layers != 0 else 0
        assert split.gpu_weights_bytes + split.host_weights_bytes == header.tensor_bytes + copied
        assert split.gpu_cache_bytes is not None
        assert split.host_cache_bytes is not None
        assert split.gpu_cache_bytes + split.host_cache_bytes == whole.host_cache_bytes
    assert split.host_weights_bytes == split.input_bytes
    assert split.host_cache_bytes == 0


def test_experts_are_told_apart(tmp_path: Path) -> None:
    mixtral = estimated(build(tmp_path / "x.gguf", SHAPES["mixtral-8x7b"]), {"n_ctx": 4096, "n_seq_max": 1})
    layer = mixtral.layers[0]
    assert 0.9 < layer.experts_bytes / layer.weights_bytes < 1
    dense = estimated(build(tmp_path / "y.gguf", SHAPES["llama-8b"]), {"n_ctx": 4096, "n_seq_max": 1})
    assert dense.layers[0].experts_bytes == 0


def test_an_unknown_architecture_tells_its_weights_and_no_cache(tmp_path: Path) -> None:
    path = build(tmp_path / "x.gguf", SHAPES["tiny-gqa"], metadata={"general.architecture": "from-next-year"})
    header = read_files(path)
    assert layer_caches(header) is None
    assert estimate(header, Allocation(Cells(4096, 1))) is None
    named = build(
        tmp_path / "y.gguf",
        SHAPES["tiny-gqa"],
        metadata={"general.architecture": "from-next-year", "from-next-year.block_count": 4},
    )
    found = estimated(named, {"n_ctx": 4096, "n_seq_max": 1})
    assert found.gpu_weights_bytes > 0
    assert found.gpu_cache_bytes is None
    assert [layer.cache_bytes for layer in found.layers] == [None] * 4


def test_a_context_of_32k_in_gemma_costs_a_fraction_of_full_attention(tmp_path: Path) -> None:
    path = build(tmp_path / "x.gguf", SHAPES["gemma3-12b"])
    sliding = estimated(path, {"n_ctx": 32768, "n_seq_max": 1}).gpu_cache_bytes
    full = estimated(path, {"n_ctx": 32768, "n_seq_max": 1, "swa_full": True}).gpu_cache_bytes
    assert sliding is not None
    assert full is not None
    assert full == 48 * 8 * 512 * 2 * 32768
    assert sliding == 8 * 512 * 2 * (8 * 32768 + 40 * 1536)


@pytest.mark.parametrize(
    ("metadata", "windows"),
    [
        ({"gemma3.attention.sliding_window_pattern": 3}, [256, 256, None] * 4),
        ({"gemma3.attention.sliding_window_pattern": 0}, [256] * 12),
        ({"gemma3.attention.sliding_window_pattern": (True,) + (False,) * 11}, [256] + [None] * 11),
        ({"gemma3.attention.sliding_window": 0}, [None] * 12),
        ({"gemma3.attention.sliding_window": None}, [None] * 12),
    ],
)
def test_the_header_tells_which_layers_slide(metadata: dict[str, Any], windows: list[Any], tmp_path: Path) -> None:
    layers = layer_caches(read_files(build(tmp_path / "x.gguf", SHAPES["tiny-swa"], metadata=metadata)))
    assert layers is not None
    assert [layer.window for layer in layers] == windows


def test_a_window_that_llama_cpp_ignores_is_ignored(tmp_path: Path) -> None:
    path = build(tmp_path / "x.gguf", SHAPES["tiny-gqa"], metadata={"llama.attention.sliding_window": 256})
    layers = layer_caches(read_files(path))
    assert layers is not None
    assert {layer.window for layer in layers} == {None}


@pytest.mark.parametrize("key", ["ssm.inner_size", "ssm.state_size", "ssm.conv_kernel"])
def test_a_recurrent_header_that_lacks_what_it_takes_tells_nothing(key: str, tmp_path: Path) -> None:
    for name in ("tiny-mamba", "tiny-jamba", "tiny-qwen-next"):
        shape = SHAPES[name]
        path = build(tmp_path / "x.gguf", shape, metadata={f"{shape.architecture}.{key}": None})
        assert layer_caches(read_files(path)) is None


_NAMES = """
    embedding_length context_length attention.head_count attention.head_count_kv attention.key_length
    attention.value_length attention.key_length_swa attention.value_length_swa attention.key_length_mla
    attention.value_length_mla attention.sliding_window attention.sliding_window_pattern attention.shared_kv_layers
    attention.recurrent_layers full_attention_interval nextn_predict_layers ssm.inner_size ssm.state_size
    ssm.conv_kernel ssm.group_count shortconv.l_cache vocab_size
""".split()  # noqa: SIM905
_VALUES = st.one_of(
    st.none(),
    st.integers(0, 9),
    st.sampled_from([-1, 512, 513, 1 << 32, (1 << 64) - 1]),
    st.booleans(),
    st.text(max_size=3),
    st.floats(),
    st.lists(st.integers(-2, 9), min_size=4, max_size=4).map(tuple),
    st.lists(st.booleans(), min_size=4, max_size=4).map(tuple),
)
_N_LAYERS = st.sampled_from([4, 4, 4, 0, 512, 513, 1 << 32])
_ARCHITECTURES = st.sampled_from(
    [
        "llama",
        "gemma2",
        "gemma3",
        "gemma4",
        "llama4",
        "laguna",
        "gpt-oss",
        "deepseek2",
        "mamba",
        "jamba",
        "lfm2",
        "qwen3next",
        "falcon-h1",
        "x",
    ]
)


@examples(500)
@example("llama", {"attention.head_count_kv": (-1, 2, 3, 4)}, 4, 2)
@given(_ARCHITECTURES, st.dictionaries(st.sampled_from(_NAMES), _VALUES), _N_LAYERS, st.integers(0, 600))
def test_no_metadata_makes_it_fail_or_say_nonsense(
    architecture: str, values: dict[str, Any], n_layers: int, n_gpu_layers: int
) -> None:
    told = {"block_count": n_layers, "embedding_length": 256, "attention.head_count": 4, **values}
    named = {f"{architecture}.{name}": value for name, value in told.items() if value is not None}
    metadata = {"general.architecture": architecture, **named}
    header = Header(version=3, size_bytes=0, metadata=metadata, tensors=(), alignment=32, data_offset=0)
    per_token = kv_bytes_per_token(header)
    assert per_token is None or per_token >= 0
    found = estimate(header, Allocation(Cells(4096, 2), n_gpu_layers=n_gpu_layers))
    if found is not None:
        assert len(found.layers) <= 512
        assert all(layer.cache_bytes is None or layer.cache_bytes >= 0 for layer in found.layers)
        assert found.gpu_weights_bytes == found.host_weights_bytes == 0
