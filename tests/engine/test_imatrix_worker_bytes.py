"""An imatrix worker holds what was reserved for it, logits of every token of a step included."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.core.loads.devices import RAM
from inference.core.loads.options import LoadOptions
from inference.core.planning.header_estimates import HeaderEstimates
from inference.core.planning.imatrix_memory import sums_bytes
from inference.core.planning.load_ways import EstimatedWay, load_ways
from inference.core.planning.wishes import Wishes
from inference.host.planning.imatrix_load import STEP_TOKENS, options_to_read, way_to_read, wishes_to_read
from models_app.gguf import read_files
from models_app.hardware import Device, Profile
from models_app.hardware.profile import GIB
from tests.engine.imatrix_worker import made
from tests.engine.worker_process import WorkerProcess
from tests.gguf_builder import SHAPES, build
from tests.models_app.conftest import rpc_device

__all__ = ["rpc_device"]

pytestmark = pytest.mark.live

LINE_BYTES = 12_000
"""llama.cpp prints hundredths of a MiB, on two or three lines a device."""
MOST_SPARE = 1.1
CARD = Device("a card", "gpu", 8 * GIB, 300 * 10**9, is_remote=True)


def best_way(path: Path, *gpus: Device, n_gpu_layers: int | None = None) -> EstimatedWay:
    owners = Wishes(n_ctx_seq=8192, n_seq_max=4, n_gpu_layers=n_gpu_layers)
    base = LoadOptions(n_ctx_seq=8192, n_seq_max=4, n_gpu_layers=n_gpu_layers, type_k="q8_0", type_v="q8_0")
    profile = Profile("test", Device("RAM", "ram", 16 * GIB, 20 * 10**9), gpus, 2)
    ids = [f"gpu{number}" for number in range(len(gpus))]
    header = read_files(path)
    return way_to_read(
        load_ways(HeaderEstimates(header), profile, ids, wishes_to_read(owners), options_to_read(base))[0], header
    )


def check(way: EstimatedWay, path: Path, folder: Path, *rpc_servers: str) -> None:
    with WorkerProcess(path, folder, rpc_servers=rpc_servers, **way.options.to_json()) as worker:
        ready = worker.report("ready")
    for device in ready["devices"]:
        planned = way.devices[device["device"]]
        reserved = planned.weights_bytes + planned.kv_bytes + planned.compute_bytes
        held = sum(device[part] for part in ("weights_bytes", "kv_bytes", "compute_bytes"))
        assert held <= reserved + LINE_BYTES, device
        assert reserved <= MOST_SPARE * held + (64 << 20), device


def test_the_starter_in_ram(starter_path: Path, tmp_path: Path) -> None:
    way = best_way(starter_path)
    assert (way.options.purpose, way.options.n_ctx_seq, way.options.n_seq_max) == ("imatrix", 512, 1)
    assert (way.options.n_batch, way.options.n_ubatch, way.options.type_k) == (STEP_TOKENS, STEP_TOKENS, "f16")
    check(way, starter_path, tmp_path)


def test_the_sums_are_no_larger_than_was_told(starter_path: Path, tmp_path: Path) -> None:
    target = made(starter_path, tmp_path, "One word follows the other. " * 200, most_chunks=1)
    sums = sum(tensor.n_bytes for tensor in read_files(target).tensors if tensor.name.endswith(".in_sum2"))
    assert sums * 3 == sums_bytes(read_files(starter_path))


def test_a_large_vocabulary_in_ram(gemma_path: Path, tmp_path: Path) -> None:
    way = best_way(gemma_path)
    n_vocab = read_files(gemma_path).n_vocab
    assert n_vocab is not None
    assert way.devices[RAM].compute_bytes > 2 * STEP_TOKENS * n_vocab * 4, "in the graph, and where they are read"
    check(way, gemma_path, tmp_path)


@pytest.mark.parametrize("n_gpu_layers", [None, 9])
def test_a_large_vocabulary_on_a_gpu(
    n_gpu_layers: int | None, gemma_path: Path, tmp_path: Path, rpc_device: str
) -> None:
    way = best_way(gemma_path, CARD, n_gpu_layers=n_gpu_layers)
    assert way.devices["gpu0"].weights_bytes > 0
    check(way, gemma_path, tmp_path, rpc_device)


@pytest.mark.parametrize("name", ["tiny-moe", "tiny-swa", "tiny-mamba"])
def test_other_architectures_on_a_gpu(name: str, tmp_path: Path, rpc_device: str) -> None:
    path = build(tmp_path / "model.gguf", SHAPES[name], body="random")
    check(best_way(path, CARD), path, tmp_path, rpc_device)
