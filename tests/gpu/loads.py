"""One load on the cards: what was told of it, what a dry run says, what the worker counts and what NVML sees."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.core.loads.devices import RAM
from inference.core.loads.options import LoadOptions
from inference.core.planning.load_ways import EstimatedWay
from inference.engine.tools.children import dry_run
from inference.host.workers.environment import worker_environment
from models_app.gguf import Header, read_files
from models_app.units import format_bytes
from tests.engine.worker_process import WorkerProcess
from tests.gpu.cards import Cards, Held

MIB = 1 << 20
MOST_SHARE_ABOVE = 0.03
MOST_BYTES_ABOVE = 64 * MIB
PIPELINE_COPIES, F32_BYTES = 4, 4
"""ggml-backend.cpp, GGML_SCHED_MAX_COPIES."""
MOST_DRY_RUN_ERROR = 0.005
BESIDES_BYTES = (1, 2048 * MIB)
"""A process without a context is none; one that holds more has leaked."""
ROUNDING_BYTES = 3 * 5_243
"""llama.cpp's log gives hundredths of a MiB of each buffer, and there are three on a card."""


@dataclass(frozen=True, slots=True)
class Loaded:
    worker: WorkerProcess
    ready: Mapping[str, Any]
    cards: Cards
    used_before: Mapping[str, int]

    def held(self) -> dict[str, Held]:
        return self.cards.held(self.worker.process.pid, self.used_before)

    def buffers(self) -> dict[str, int]:
        """By card, those that hold any."""
        parts = ("weights_bytes", "kv_bytes", "compute_bytes")
        counted = {each["device"]: sum(each[part] for part in parts) for each in self.ready["devices"]}
        return {device: n_bytes for device, n_bytes in counted.items() if device in self.cards.listed and n_bytes}


@contextmanager
def loaded(path: Path, folder: Path, cards: Cards, options: LoadOptions) -> Iterator[Loaded]:
    before = cards.used_bytes()
    engine_devices, options = cards.engine_devices.needed_for(options)
    with WorkerProcess(path, folder, gpus=dict(engine_devices.gpus or ()), **options.to_json()) as worker:
        yield Loaded(worker, worker.report("ready"), cards, before)


@dataclass(frozen=True, slots=True)
class Figures:
    """One card of one load. All in bytes."""

    case: str
    device: str
    told_bytes: int
    """Buffers by the header."""
    exact_bytes: int
    """Weights and cache by the header, buffers by a dry run."""
    buffers_bytes: int
    """As the worker counts them."""
    held: Held
    copies_bytes: int = 0
    """What a dry run may count twice: see `_copies`."""

    @property
    def above_bytes(self) -> int:
        return self.told_bytes - self.buffers_bytes

    @property
    def share_of_allowance(self) -> float:
        return self.above_bytes / max(MOST_SHARE_ABOVE * self.buffers_bytes, MOST_BYTES_ABOVE)

    @property
    def dry_run_error(self) -> float:
        """As a share of what is there; what the log's rounding and the copies explain is none."""
        beside_bytes = self.exact_bytes - self.buffers_bytes
        least_bytes = min(abs(beside_bytes), abs(beside_bytes - self.copies_bytes))
        return max(0, least_bytes - ROUNDING_BYTES) / self.buffers_bytes

    @property
    def besides_bytes(self) -> int:
        """The driver's context and what kernels keep for themselves."""
        return self.held.n_bytes - self.buffers_bytes

    def faults(self) -> Iterator[str]:
        """What must not be, in words."""
        if self.above_bytes < 0:
            yield f"{self}. The header tells {-self.above_bytes / MIB:.2f} MiB too little"
        if self.share_of_allowance > 1:
            yield f"{self}. The header tells {self.above_bytes / MIB:.0f} MiB too much"
        if self.dry_run_error > MOST_DRY_RUN_ERROR:
            yield f"{self}. The dry run is wrong by {100 * self.dry_run_error:.2f} %"
        if not BESIDES_BYTES[0] <= self.besides_bytes <= BESIDES_BYTES[1]:
            yield f"{self}. No process holds so much besides its buffers, or so little"

    def __str__(self) -> str:
        told, exact, buffers = map(format_bytes, (self.told_bytes, self.exact_bytes, self.buffers_bytes))
        seen = format_bytes(self.held.n_bytes) + ("" if self.held.is_told else " (by what the card's use grew)")
        return (
            f"{self.case}, {self.device}: header {told}, dry run {exact}, worker {buffers},"
            f" NVML {seen}: {self.besides_bytes / MIB:.0f} MiB besides"
        )


def _copies(header: Header, way: EstimatedWay, device: str) -> int:
    """What a batch brings over from the card before, four times: llama.cpp keeps so many copies while several cards work at once,
    and counts them once more under `no_alloc` than it allocates them. Seen of 0.3.36, on each card but the first."""
    gpus = [each for each in way.devices if each != RAM]
    return 0 if device == gpus[0] else PIPELINE_COPIES * way.options.n_ubatch * (header.n_embd or 0) * F32_BYTES


def figures(case: str, path: Path, folder: Path, cards: Cards, way: EstimatedWay) -> list[Figures]:
    """Of every card that gets anything. Loads the model once and ends it."""
    header = read_files(path)
    exact = asyncio.run(dry_run(path, way.options, worker_environment(os.environ), engine_devices=cards.engine_devices))
    with loaded(path, folder, cards, way.options) as load:
        assert load.ready["n_gpu_layers"] == exact.n_gpu_layers == way.options.n_gpu_layers
        buffers, held = load.buffers(), load.held()
    assert set(buffers) == set(way.devices) & set(cards.listed), "the layers went to other cards than was told"
    return [
        Figures(
            case,
            device,
            told.weights_bytes + told.kv_bytes + told.compute_bytes,
            told.weights_bytes + told.kv_bytes + exact.compute_bytes[device],
            buffers[device],
            held.get(device, Held(0, False)),
            _copies(header, way, device),
        )
        for device, told in way.devices.items()
        if device in buffers
    ]
