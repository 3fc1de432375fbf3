"""Places a variant's layers, cache and buffers on a machine: every way within the budgets, best first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from inference.core.planning.footprint import DeviceBytes, Footprints
from inference.core.planning.header_estimates import HeaderEstimates
from inference.core.planning.roofline import Speed
from inference.core.planning.wishes import Wish, Wishes
from models_app.gguf import Header
from models_app.hardware import Profile
from models_app.memory import Cells, Work

_PENALTIES = {"context": 0.5, "kv": 0.85, "ubatch": 0.99}
"""A shorter context must be worth twice the speed; a quantized cache a sixth more; smaller batches only break ties."""
_MOST_WAYS = 8


@dataclass(frozen=True, slots=True)
class PlacedWay:
    """One way to load the variant, by its header alone: `core.loads.ways.LoadWay` is what becomes of it."""

    n_gpu_layers: int
    """The output counts as one more than the layers."""
    n_layers: int
    n_cpu_moe: int
    """Of the first layers, how many leave their experts in RAM."""
    tensor_split: tuple[int, ...]
    """Layers by GPU."""
    n_ctx_seq: int
    n_seq_max: int
    n_ubatch: int
    type_k: str
    type_v: str
    devices: tuple[DeviceBytes, ...]
    speed: Speed
    buffers_known: bool
    """False: the architecture's compute buffers are allowed for, not known."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why nothing fits: the least that one device would need."""

    device: str
    needed_bytes: int
    budget_bytes: int
    wish: Wish | None
    """The wish that stands in the way; None: the machine is too small."""
    devices: tuple[DeviceBytes, ...] = ()
    """All of them, for that least: the RAM first, then the GPUs."""
    n_gpu_layers: int = 0
    n_ctx_seq: int = 0
    kv_type: str = "f16"
    is_ram: bool = False
    """Whether `device` is the RAM."""


@dataclass(frozen=True, slots=True)
class Placement:
    ways: tuple[PlacedWay, ...]
    shortfall: Shortfall | None
    all_on_gpu: tuple[DeviceBytes, ...]
    """What every layer on the GPUs would take at the preferred context, fitting or not; empty without a GPU."""


def place(header: Header, profile: Profile, wishes: Wishes, estimates: HeaderEstimates | None = None) -> Placement:
    """Ways within every budget, best first. Raises CannotTell."""
    footprints = Footprints(profile, wishes, estimates or HeaderEstimates(header))
    tries = _Tries(footprints)
    found = [way for shape in tries.shapes() for way in tries.ways(shape)]
    ranked = sorted(found, key=lambda each: -score(each, wishes))
    full = footprints.measure(
        footprints.layout(wishes.n_ctx_seq, "f16", footprints.most_ubatch), footprints.work(footprints.n_layers + 1)
    )
    return Placement(
        ways=tuple(_distinct(ranked))[:_MOST_WAYS],
        shortfall=None if found else tries.shortfall(),
        all_on_gpu=full.devices if profile.gpus else (),
    )


def score(way: PlacedWay, wishes: Wishes) -> float:
    """Tokens per second, less what its owner has to do without."""
    found = way.speed.decode_tokens_per_second
    found *= _PENALTIES["context"] if way.n_ctx_seq < wishes.n_ctx_seq else 1
    found *= _PENALTIES["kv"] if way.type_k != "f16" else 1
    return found * (_PENALTIES["ubatch"] if way.n_ubatch < 512 else 1)


def _distinct(ranked: list[PlacedWay]) -> Iterator[PlacedWay]:
    """Leaves out those that an earlier one beats in everything: as much context and cache, no less speed."""
    kept: list[PlacedWay] = []
    for each in ranked:
        beaten = any(
            other.n_ctx_seq >= each.n_ctx_seq
            and (other.type_k == "f16" or each.type_k != "f16")
            and other.speed.decode_tokens_per_second >= each.speed.decode_tokens_per_second
            and other.n_ubatch >= each.n_ubatch
            and other.n_gpu_layers >= each.n_gpu_layers > 0
            for other in kept
        )
        if not beaten:
            kept.append(each)
            yield each


@dataclass(frozen=True, slots=True)
class _Shape:
    """A context to be tried."""

    n_ctx_seq: int
    kv_type: str
    n_ubatch: int


@dataclass(frozen=True, slots=True)
class _Tries:
    """What is worth trying, and what comes of it."""

    takes: Footprints

    def shapes(self) -> Iterator[_Shape]:
        contexts = [self.takes.wishes.n_ctx_seq]
        least = self.takes.wishes.least_n_ctx_seq
        if least is not None and least < self.takes.wishes.n_ctx_seq:
            contexts.append(least)
        for n_ctx_seq in contexts:
            for kv_type in self.kv_types:
                for n_ubatch in self.takes.wishes.n_ubatches:
                    yield _Shape(n_ctx_seq, kv_type, n_ubatch)

    @property
    def kv_types(self) -> tuple[str, ...]:
        return ("f16", "q8_0") if self.takes.wishes.may_quantize_kv and self.takes.estimates.quantizes_kv else ("f16",)

    def ways(self, shape: _Shape) -> Iterator[PlacedWay]:
        """What fits of this shape: all on the GPUs, or experts in RAM, or fewer layers, or none."""
        cells = self.takes.layout(shape.n_ctx_seq, shape.kv_type, shape.n_ubatch)
        if self.takes.profile.gpus and self.takes.wishes.n_gpu_layers is not None:
            if shape.n_ubatch == self.takes.most_ubatch or self.takes.wishes.n_gpu_layers:
                yield from self.if_fits(
                    shape, cells, self.takes.work(min(self.takes.wishes.n_gpu_layers, self.takes.n_layers + 1))
                )
            return
        if self.takes.profile.gpus:
            yield from self.on_gpus(shape, cells)
        if (
            self.takes.wishes.may_leave_gpu or not self.takes.profile.gpus
        ) and shape.n_ubatch == self.takes.most_ubatch:
            yield from self.if_fits(shape, cells, self.takes.work(0))

    def on_gpus(self, shape: _Shape, cells: Cells) -> Iterator[PlacedWay]:
        whole = self.takes.work(self.takes.n_layers + 1)
        if self.takes.measure(cells, whole).gpus_fit:
            yield from self.if_fits(shape, cells, whole)
            return
        if not self.takes.wishes.may_leave_gpu:
            return
        if self.takes.header.n_experts:
            yield from self.with_experts_in_ram(shape, cells)
        least, most = 0, self.takes.n_layers + 1
        while most - least > 1:
            middle = (least + most) // 2
            if self.takes.measure(cells, self.takes.work(middle)).gpus_fit:
                least = middle
            else:
                most = middle
        if least:
            yield from self.if_fits(shape, cells, self.takes.work(least))

    def with_experts_in_ram(self, shape: _Shape, cells: Cells) -> Iterator[PlacedWay]:
        least, most = 0, self.takes.n_layers
        if not self.takes.measure(cells, self.takes.work(self.takes.n_layers + 1, most)).gpus_fit:
            return
        while most - least > 1:
            middle = (least + most) // 2
            if self.takes.measure(cells, self.takes.work(self.takes.n_layers + 1, middle)).gpus_fit:
                most = middle
            else:
                least = middle
        yield from self.if_fits(shape, cells, self.takes.work(self.takes.n_layers + 1, most))

    def if_fits(self, shape: _Shape, cells: Cells, work: Work) -> Iterator[PlacedWay]:
        measured = self.takes.measure(cells, work)
        if not measured.fits:
            return
        counts = [sum(device == number for device in work.devices) for number in range(1, work.n_devices)]
        yield PlacedWay(
            n_gpu_layers=sum(counts) + (work.output_device > 0),
            n_layers=self.takes.n_layers,
            n_cpu_moe=len(work.experts_on_host),
            tensor_split=tuple(counts),
            n_ctx_seq=shape.n_ctx_seq,
            n_seq_max=self.takes.wishes.n_seq_max,
            n_ubatch=shape.n_ubatch,
            type_k=shape.kv_type,
            type_v=shape.kv_type,
            devices=measured.devices if self.takes.profile.gpus else measured.devices[:1],
            speed=self.takes.speed(cells, work, shape.n_ubatch),
            buffers_known=measured.buffers_known,
        )

    def shortfall(self) -> Shortfall:
        """What the least that would do lacks, and whether a wish is to blame."""
        least = self.takes.wishes.least_n_ctx_seq or self.takes.wishes.n_ctx_seq
        n_ctx_seq, kv_type = min(least, self.takes.wishes.n_ctx_seq), self.kv_types[-1]
        cells = self.takes.layout(n_ctx_seq, kv_type, self.takes.most_ubatch)
        fixed = self.takes.wishes.n_gpu_layers
        if self.takes.profile.gpus and (fixed is not None or not self.takes.wishes.may_leave_gpu):
            n_gpu_layers = self.takes.n_layers + 1 if fixed is None else min(fixed, self.takes.n_layers + 1)
            measured = self.takes.measure(cells, self.takes.work(n_gpu_layers)).devices
            short = next((each for each in measured if not each.fits), None)
            if short is not None:
                return Shortfall(
                    short.name,
                    short.total_bytes,
                    short.budget_bytes,
                    self._blocking_wish(),
                    measured,
                    n_gpu_layers,
                    n_ctx_seq,
                    kv_type,
                    is_ram=short is measured[0],
                )
        devices = self.takes.measure(cells, self.takes.work(0)).devices
        ram = devices[0]
        fitting = None
        if least > 256:
            fitting = self.without(n_ctx_seq=256, least_n_ctx_seq=None)
        wish: Wish | None = "n_ctx_seq" if fitting else None
        return Shortfall(ram.name, ram.total_bytes, ram.budget_bytes, wish, devices, 0, n_ctx_seq, kv_type, is_ram=True)

    def _blocking_wish(self) -> Wish | None:
        if self.takes.wishes.n_gpu_layers is not None and self.without(n_gpu_layers=None):
            return "n_gpu_layers"
        return "may_leave_gpu" if self.without(n_gpu_layers=None, may_leave_gpu=True) else None

    def without(self, **wishes: Any) -> tuple[PlacedWay, ...]:
        """What there would be with other wishes."""
        return place(
            self.takes.header, self.takes.profile, replace(self.takes.wishes, **wishes), self.takes.estimates
        ).ways
