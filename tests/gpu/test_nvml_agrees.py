"""What is told before a load, what the worker counts, and what NVML says of its process: on the first card of this machine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inference.core.options import LoadOptions
from inference.core.placement import Wishes, place
from inference.core.site import Site
from inference.engine.children import ListedGpu, dry_run, list_gpus
from inference.host.worker_environment import worker_environment
from models_app.gguf import read_files
from models_app.hardware import Device, Profile
from models_app.hardware.nvidia import GpuReading, Nvml
from models_app.units import format_bytes
from tests.engine.worker_process import WorkerProcess, text
from tests.gguf_builder import SHAPES, build

MIB, GIB = 1 << 20, 1 << 30
LEAST_FREE_BYTES = 8 * GIB
WHOLE = "llama-8b"
"""At its full size: 4.6 GB of random blocks load like the real ones."""
LAYERS = (1, 17, 33)
OVERHEAD_BYTES = (1, 2 * GIB)


@pytest.fixture(scope="session")
def card() -> ListedGpu:
    listed = asyncio.run(list_gpus((), worker_environment(os.environ)))
    return next(each for each in listed if each.key.startswith("CUDA"))


@pytest.fixture(scope="session")
def nvml() -> Iterator[Nvml]:
    session = Nvml()
    yield session
    session.close()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("gpu") / f"{WHOLE}.gguf"
    return build(path, SHAPES[WHOLE], quantization="Q4_K_M", body="random")


def reading(nvml: Nvml) -> GpuReading:
    """Of the first card: CUDA is told to count as NVML does."""
    return nvml.read()[0]


@dataclass(frozen=True, slots=True)
class Loaded:
    ready: dict[str, Any]
    nvml_bytes: int
    """Of its process; where the driver hides processes, what the card's use grew by."""

    @property
    def on_gpu(self) -> dict[str, int]:
        return next(each for each in self.ready["devices"] if each["device"] == "gpu0")

    @property
    def buffers_bytes(self) -> int:
        return sum(self.on_gpu[part] for part in ("weights_bytes", "kv_bytes", "compute_bytes"))


@contextmanager
def loaded(model: Path, folder: Path, card: ListedGpu, nvml: Nvml, options: LoadOptions) -> Iterator[Loaded]:
    before = reading(nvml)
    assert before.total_bytes is not None
    assert before.used_bytes is not None
    if before.total_bytes - before.used_bytes < LEAST_FREE_BYTES:
        pytest.fail(f"{before.name} has less than {format_bytes(LEAST_FREE_BYTES)} free")
    with WorkerProcess(model, folder, gpus={"gpu0": card.key}, **options.to_json()) as worker:
        ready = worker.report("ready")
        assert text(worker.answer(prompt="On the river", max_tokens=4, temperature=0)) is not None
        after = reading(nvml)
        told = (after.process_bytes or {}).get(worker.process.pid)
        assert after.used_bytes is not None
        yield Loaded(ready, after.used_bytes - before.used_bytes if told is None else told)


def planned(model: Path, options: LoadOptions) -> dict[str, int]:
    """Bytes on the GPU by the header, at exactly these options."""
    profile = Profile("any", Device("RAM", "ram", 1 << 45), gpus=(Device("GPU", "gpu", 1 << 45),))
    wishes = Wishes(
        n_ctx_seq=options.n_ctx_seq,
        n_seq_max=options.n_seq_max,
        may_quantize_kv=False,
        n_gpu_layers=options.n_gpu_layers,
    )
    found = place(read_files(model), profile, wishes).alternatives
    gpu = next(each for each in found if each.n_ubatch == options.n_ubatch).devices[1]
    return {"weights_bytes": gpu.weights_bytes, "kv_bytes": gpu.kv_bytes, "compute_bytes": gpu.compute_bytes}


@pytest.mark.parametrize("n_gpu_layers", LAYERS)
def test_the_card_holds_what_was_told_and_what_the_worker_counts(
    n_gpu_layers: int, model: Path, tmp_path: Path, card: ListedGpu, nvml: Nvml
) -> None:
    options = LoadOptions(n_ctx_seq=4096, n_seq_max=2, n_gpu_layers=n_gpu_layers)
    told = planned(model, options)
    exact = asyncio.run(dry_run(model, options, worker_environment(os.environ), site=Site(gpus=(("gpu0", card.key),))))
    with loaded(model, tmp_path, card, nvml, options) as load:
        assert load.ready["n_gpu_layers"] == n_gpu_layers == exact.n_gpu_layers
        buffers_bytes, told_bytes = load.buffers_bytes, sum(told.values())
        by_dry_run = told["weights_bytes"] + told["kv_bytes"] + exact.compute_bytes["gpu0"]
        overhead_bytes = load.nvml_bytes - buffers_bytes
        print(
            f"\n{card.name}, {n_gpu_layers} layers: header {format_bytes(told_bytes)}, dry run {format_bytes(by_dry_run)},"
            f" worker {format_bytes(buffers_bytes)}, NVML {format_bytes(load.nvml_bytes)}:"
            f" {format_bytes(overhead_bytes)} besides the buffers"
        )
        assert buffers_bytes <= told_bytes <= max(1.03 * buffers_bytes, buffers_bytes + 64 * MIB)
        assert by_dry_run == pytest.approx(buffers_bytes, rel=0.005)
        assert OVERHEAD_BYTES[0] <= overhead_bytes <= OVERHEAD_BYTES[1]


def test_a_worker_that_ended_leaves_nothing_on_the_card(
    model: Path, tmp_path: Path, card: ListedGpu, nvml: Nvml
) -> None:
    before = reading(nvml).used_bytes
    with loaded(model, tmp_path, card, nvml, LoadOptions(n_ctx_seq=512, n_seq_max=1)):
        held = reading(nvml).used_bytes
    after = reading(nvml).used_bytes
    assert before is not None
    assert held is not None
    assert after is not None
    assert held - before > 4 * GIB
    assert abs(after - before) < 64 * MIB
