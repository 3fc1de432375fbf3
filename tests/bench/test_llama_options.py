"""llama-server gets the same build and the same context as our worker."""

from __future__ import annotations

import itertools

from inference.core.loads.options import LoadOptions
from tests.bench.llama_build import cmake_options
from tests.bench.llama_server import arguments


def test_the_build_takes_the_accelerators_of_the_installed_package() -> None:
    cpu = cmake_options({"llama", "ggml", "ggml-base", "ggml-cpu", "ggml-rpc"})
    assert "-DGGML_RPC=ON" in cpu
    assert "-DCMAKE_BUILD_TYPE=Release" in cpu
    assert "-DGGML_CUDA=ON" not in cpu
    assert "-DGGML_CUDA=ON" in cmake_options({"ggml-cuda"})


def test_the_servers_context_is_the_workers() -> None:
    given = arguments(LoadOptions(n_ctx_seq=1024, n_seq_max=8, n_batch=256, n_ubatch=128, type_k="q8_0"), n_threads=2)
    pairs = dict(itertools.pairwise(given))
    assert pairs["--ctx-size"] == "8192"
    assert pairs["--kv-unified-per-slot"] == "1024"
    assert pairs["--parallel"] == "8"
    assert (pairs["--batch-size"], pairs["--ubatch-size"]) == ("256", "128")
    assert (pairs["--cache-type-k"], pairs["--cache-type-v"]) == ("q8_0", "f16")
    assert pairs["--threads"] == pairs["--threads-batch"] == "2"
    assert "--kv-unified" in given
