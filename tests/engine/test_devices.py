"""Where a worker's bytes really go: as its report says, measured on devices that have memory of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from inference.core.loads.options import LoadOptions
from inference.engine.llama.devices import shares
from inference.engine.tools.children import list_gpus
from inference.host.workers.environment import worker_environment
from models_app.gguf import Header, read_files
from models_app.memory import Allocation, Cells, Estimate, compute_bytes, estimate, split_work
from tests.engine.rpc_listener import GET_DEVICE_MEMORY, listening
from tests.engine.worker_process import Message, WorkerProcess
from tests.gguf_builder import SHAPES, TINY, Shape, build
from tests.models_app.conftest import rpc_device, two_rpc_devices

__all__ = ["rpc_device", "two_rpc_devices"]

MIB = 1 << 20
LINE_BYTES = 12_000
"""llama.cpp prints hundredths of a MiB, on two or three lines a device."""
OPTIONS: dict[str, Any] = {"n_ctx_seq": 512, "n_seq_max": 2, "n_batch": 256, "n_ubatch": 256}


def cells_of(options: LoadOptions) -> Cells:
    """As the worker makes its context: one sequence more than slots."""
    return Cells(options.n_ctx, options.n_seq_max + 1, options.n_ubatch, options.type_k, options.type_v)


def loaded(path: Path, folder: Path, rpc_servers: Sequence[str], **options: Any) -> tuple[LoadOptions, list[Message]]:
    """What the worker reports for each device, `ram` first."""
    with WorkerProcess(path, folder, rpc_servers=rpc_servers, **OPTIONS, **options) as worker:
        devices: list[Message] = worker.report("ready")["devices"]
    assert [each["device"] for each in devices] == ["ram", "gpu0", "gpu1"][: 1 + len(rpc_servers)]
    return LoadOptions.from_json({**OPTIONS, **options}), devices


def estimated(header: Header, options: LoadOptions) -> Estimate:
    cells = cells_of(options)
    found = estimate(header, Allocation(cells, options.n_gpu_layers, cells.n_seq_max))
    assert found is not None
    return found


@pytest.mark.live
@pytest.mark.parametrize("shape", TINY, ids=lambda shape: shape.name)
def test_a_worker_holds_what_its_header_says(shape: Shape, tmp_path: Path, rpc_device: str) -> None:
    path = build(tmp_path / "tiny.gguf", shape, body="random")
    header = read_files(path)
    n_gpu_layers = shape.n_layers // 2 + 1
    options, (ram, gpu) = loaded(path, tmp_path, [rpc_device], n_gpu_layers=n_gpu_layers)
    estimate = estimated(header, options)
    assert gpu["weights_bytes"] == pytest.approx(estimate.gpu_weights_bytes, abs=LINE_BYTES)
    assert ram["weights_bytes"] == pytest.approx(estimate.host_weights_bytes, abs=LINE_BYTES)
    assert gpu["kv_bytes"] == pytest.approx(estimate.gpu_cache_bytes, abs=LINE_BYTES)
    assert ram["kv_bytes"] == pytest.approx(estimate.host_cache_bytes, abs=LINE_BYTES)
    assert estimate.output_buffer_bytes is not None
    cells = cells_of(options)
    buffers = compute_bytes(header, cells, cells.n_seq_max, split_work(shape.n_layers, n_gpu_layers))
    if buffers is not None:
        for device, own, more in ((ram, buffers[0], estimate.output_buffer_bytes), (gpu, buffers[1], 0)):
            whole = device["weights_bytes"] + device["kv_bytes"] + own + more
            real = sum(device[part] for part in ("weights_bytes", "kv_bytes", "compute_bytes"))
            assert real <= whole + LINE_BYTES
            assert whole <= max(1.03 * real, real + 64 * MIB)


@pytest.mark.live
@pytest.mark.parametrize("n_cpu_moe", [1, 2, 4])
@pytest.mark.parametrize("name", ["tiny-moe", "tiny-qwen-moe"])
def test_experts_of_the_first_layers_stay_in_ram(name: str, n_cpu_moe: int, tmp_path: Path, rpc_device: str) -> None:
    shape = SHAPES[name]
    path = build(tmp_path / "moe.gguf", shape, body="random")
    header = read_files(path)
    options, (ram, gpu) = loaded(path, tmp_path, [rpc_device], n_cpu_moe=n_cpu_moe)
    estimate = estimated(header, options)
    experts_bytes = sum(layer.experts_bytes for layer in estimate.layers[:n_cpu_moe])
    assert experts_bytes > 0
    assert gpu["weights_bytes"] == pytest.approx(estimate.gpu_weights_bytes - experts_bytes, abs=LINE_BYTES)
    assert ram["weights_bytes"] == pytest.approx(estimate.host_weights_bytes + experts_bytes, abs=LINE_BYTES)
    assert gpu["kv_bytes"] == pytest.approx(estimate.gpu_cache_bytes, abs=LINE_BYTES)


@pytest.mark.live
@pytest.mark.parametrize("split", [(1, 3), (3, 1), (4, 0), (0, 4), (2, 1)])
def test_each_gpu_gets_the_layers_that_are_meant_for_it(
    split: tuple[int, int], tmp_path: Path, two_rpc_devices: tuple[str, str]
) -> None:
    shape = SHAPES["tiny-gqa"]
    path = build(tmp_path / "tiny.gguf", shape, body="random")
    header = read_files(path)
    options, (ram, *gpus) = loaded(
        path, tmp_path, two_rpc_devices, n_gpu_layers=sum(split) + 1, tensor_split=list(split)
    )
    estimate = estimated(header, options)
    on_gpus = estimate.layers[estimate.first_gpu_layer :]
    head_bytes = estimate.output_bytes + estimate.tied_bytes
    last = 1 if split[1] else 0
    for number, (gpu, layers) in enumerate(zip(gpus, (on_gpus[: split[0]], on_gpus[split[0] :]), strict=True)):
        weights = sum(layer.weights_bytes for layer in layers) + (head_bytes if number == last else 0)
        assert gpu["weights_bytes"] == pytest.approx(weights, abs=LINE_BYTES)
        assert gpu["kv_bytes"] == pytest.approx(sum(layer.cache_bytes or 0 for layer in layers), abs=LINE_BYTES)
    assert ram["weights_bytes"] == pytest.approx(estimate.host_weights_bytes, abs=LINE_BYTES)


@pytest.mark.live
def test_the_launch_line_names_and_orders_the_gpus(tmp_path: Path, two_rpc_devices: tuple[str, str]) -> None:
    path = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"], body="random")
    first, second = two_rpc_devices
    with WorkerProcess(
        path, tmp_path, rpc_servers=[first, second], gpus={"gpu3": f"RPC0[{second}]"}, **OPTIONS
    ) as worker:
        ram, gpu = worker.report("ready")["devices"]
    assert (gpu["device"], gpu["name"]) == ("gpu3", second)
    assert gpu["weights_bytes"] > ram["weights_bytes"] > 0


@pytest.mark.live
@pytest.mark.parametrize(("n_gpu_layers", "asked"), [(0, (False, False)), (5, (False, True))])
def test_no_driver_is_asked_about_a_gpu_that_gets_no_layers(
    n_gpu_layers: int, asked: tuple[bool, bool], tmp_path: Path, two_rpc_devices: tuple[str, str]
) -> None:
    """A CUDA context stays in the process that asked, and takes hundreds of MB of that card."""
    path = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"], body="random")
    with listening(two_rpc_devices[0]) as first, listening(two_rpc_devices[1]) as second:
        servers = [first.endpoint, second.endpoint]
        gpus = {"gpu0": f"RPC0[{first.endpoint}]", "gpu1": f"RPC0[{second.endpoint}]"}
        options: dict[str, Any] = {**OPTIONS, "n_gpu_layers": n_gpu_layers, "tensor_split": [0, 4]}
        with WorkerProcess(path, tmp_path, rpc_servers=servers, gpus=gpus, **options) as worker:
            worker.report("ready")
        assert all(each.commands for each in (first, second))
        assert tuple(GET_DEVICE_MEMORY in each.commands for each in (first, second)) == asked


@pytest.mark.live
async def test_a_list_of_the_gpus_tells_their_memory(rpc_device: str) -> None:
    with listening(rpc_device) as server:
        (gpu,) = await list_gpus([server.endpoint], worker_environment(os.environ))
        assert GET_DEVICE_MEMORY in server.commands
    assert gpu.is_remote
    assert gpu.key == f"RPC0[{server.endpoint}]"
    assert gpu.memory_bytes is not None
    assert 0 < (gpu.free_bytes or 0) <= gpu.memory_bytes


@pytest.mark.live
def test_without_a_gpu_everything_is_in_ram(tmp_path: Path) -> None:
    path = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"], body="random")
    _, (ram,) = loaded(path, tmp_path, [])
    assert ram["weights_bytes"] == read_files(path).tensor_bytes
    assert ram["kv_bytes"] > 0
    assert ram["compute_bytes"] > 0


@pytest.mark.live
@pytest.mark.parametrize(("server", "says"), [("127.0.0.1:1", "does not answer"), ("nowhere", "is no RPC server")])
def test_a_server_that_is_not_there_gets_a_sentence(server: str, says: str, tmp_path: Path) -> None:
    path = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"], body="random")
    with WorkerProcess(path, tmp_path, rpc_servers=[server], **OPTIONS) as worker:
        failed = worker.report("failed")
    assert says in failed["detail"]


def test_shares_count_the_output_after_the_last_layer() -> None:
    assert shares((1, 3)) == (1.0, 4.0)
    assert shares((4, 0)) == (5.0, 0.0)
    assert shares((0, 0)) == (0.0, 1.0)
    assert shares(()) == ()
