"""What llama.cpp logs when memory runs out becomes a sentence for a person. The lines are its own, with CUDA and with RPC."""

from __future__ import annotations

import pytest

from inference.engine.llama.footprint import DeviceName
from inference.engine.serving.loading import refusal

GPUS = (DeviceName("gpu0", "NVIDIA GeForce RTX 3060", "CUDA0"), DeviceName("gpu1", "box:50052", "RPC0[box:50052]"))
NO_ROOM_FOR_WEIGHTS = (
    "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 2826.71 MiB on device 0: cudaMalloc failed: out of memory",
    "alloc_tensor_range: failed to allocate CUDA0 buffer of size 2964019456",
    "llama_model_load: error loading model: unable to allocate CUDA0 buffer",
    "llama_model_load_from_file_impl: failed to load model",
)
NO_ROOM_FOR_BUFFERS = (
    "ggml_gallocr_reserve_n_impl: failed to allocate RPC0[box:50052] buffer of size 130799616",
    "graph_reserve: failed to allocate compute buffers",
)
NO_ROOM_IN_RAM = ("alloc_tensor_range: failed to allocate CPU buffer of size 1048576",)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (NO_ROOM_FOR_WEIGHTS, "NVIDIA GeForce RTX 3060 had no room for 2,827 MiB that m.gguf needs."),
        (NO_ROOM_FOR_BUFFERS, "box:50052 had no room for 125 MiB that m.gguf needs."),
        (NO_ROOM_IN_RAM, "This machine had no room for 1 MiB that m.gguf needs."),
    ],
)
def test_a_device_without_room_is_named_with_what_it_lacked(lines: tuple[str, ...], sentence: str) -> None:
    refused = refusal("m.gguf", lines, GPUS)
    assert refused.reason == "out_of_memory"
    assert refused.detail.startswith(sentence)


def test_memory_that_ran_out_without_a_size_is_called_that() -> None:
    refused = refusal("m.gguf", ("x: cudaMalloc failed: out of memory", "failed to load model"), GPUS)
    assert refused.reason == "out_of_memory"
    assert "x: cudaMalloc failed" in refused.detail


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("error loading model: unknown model architecture: 'x'", "failed to load model"), "unsupported"),
        (("error loading model: tensor 'x' is missing",), "bad_file"),
        ((), "bad_file"),
    ],
)
def test_other_refusals_keep_their_reasons(lines: tuple[str, ...], reason: str) -> None:
    assert refusal("m.gguf", lines, GPUS).reason == reason
