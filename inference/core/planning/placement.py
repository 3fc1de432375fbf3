"""Where a variant's layers, cache and buffers go on a machine: every way that keeps within the budgets, best first.

Nothing is tried out: bytes come from the header (`models_app.memory`), speed from a roofline (`roofline`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from inference.core.planning.header_estimates import Told
from inference.core.planning.roofline import Share, Speed, predict
from models_app.gguf import Header
from models_app.hardware import Device, Profile
from models_app.memory import Cells, Estimate, Work

MIB = 1 << 20
_PENALTIES = {"context": 0.5, "kv": 0.85, "ubatch": 0.99}
"""A shorter context must be worth twice the speed; a quantized cache a sixth more; smaller batches only break ties."""
_MOST_ALTERNATIVES = 8


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the owner wants of a variant."""

    n_ctx_seq: int = 4096
    """Preferred context of a slot."""
    least_n_ctx_seq: int | None = None
    """Least acceptable; None: no less than preferred."""
    n_seq_max: int = 1
    may_quantize_kv: bool = True
    may_leave_gpu: bool = True
    n_gpu_layers: int | None = None
    """Fixed by the owner. None: as many as fit."""
    n_ubatches: tuple[int, ...] = (512, 128)
    """Tokens that are computed together, as tried: the largest first."""
    n_outputs: int | None = None
    """Rows of logits. None: one a sequence."""


@dataclass(frozen=True, slots=True)
class DeviceBytes:
    name: str
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    """Compute and output buffers."""
    overhead_bytes: int
    budget_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.overhead_bytes

    @property
    def fits(self) -> bool:
        return self.total_bytes <= self.budget_bytes


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to load the variant."""

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
    wish: str | None
    """The wish that stands in the way, by its name in Wishes; None: the machine is too small."""
    devices: tuple[DeviceBytes, ...] = ()
    """All of them, for that least: the RAM first, then the GPUs."""
    n_gpu_layers: int = 0
    n_ctx_seq: int = 0
    kv_type: str = "f16"


@dataclass(frozen=True, slots=True)
class Placement:
    alternatives: tuple[Alternative, ...]
    shortfall: Shortfall | None
    all_on_gpu: tuple[DeviceBytes, ...]
    """What every layer on the GPUs would take at the preferred context, fitting or not; empty without a GPU."""


class CannotTell(Exception):
    """The header does not say what it takes. `what` is a phrase for a person."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def place(header: Header, profile: Profile, wishes: Wishes, told: Told | None = None) -> Placement:
    """Alternatives within every budget, best first. Raises CannotTell."""
    planner = _Planner(header, profile, wishes, told or Told(header))
    found = [option for way in planner.ways() for option in planner.options(way)]
    ranked = sorted(found, key=lambda each: -worth(each, wishes))
    full = planner.measure(
        planner.layout(wishes.n_ctx_seq, "f16", planner.most_ubatch), planner.work(planner.n_layers + 1)
    )
    return Placement(
        alternatives=tuple(_distinct(ranked))[:_MOST_ALTERNATIVES],
        shortfall=None if found else planner.shortfall(),
        all_on_gpu=full.devices if profile.gpus else (),
    )


def worth(alternative: Alternative, wishes: Wishes) -> float:
    """Tokens per second, less what its owner has to do without."""
    worth = alternative.speed.decode_tokens_per_second
    worth *= _PENALTIES["context"] if alternative.n_ctx_seq < wishes.n_ctx_seq else 1
    worth *= _PENALTIES["kv"] if alternative.type_k != "f16" else 1
    return worth * (_PENALTIES["ubatch"] if alternative.n_ubatch < 512 else 1)


def _distinct(ranked: list[Alternative]) -> Iterator[Alternative]:
    """Without those that an earlier one beats in everything: as much context and cache, no less speed."""
    kept: list[Alternative] = []
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
class _Way:
    n_ctx_seq: int
    kv_type: str
    n_ubatch: int


@dataclass(frozen=True, slots=True)
class _Measure:
    devices: tuple[DeviceBytes, ...]
    """The RAM first, then the GPUs."""
    buffers_known: bool

    @property
    def gpus_fit(self) -> bool:
        return all(each.fits for each in self.devices[1:])

    @property
    def fits(self) -> bool:
        return all(each.fits for each in self.devices)


@dataclass(frozen=True)
class _Planner:
    header: Header
    profile: Profile
    wishes: Wishes
    told: Told

    @cached_property
    def n_layers(self) -> int:
        if self.header.n_layers is None:
            raise CannotTell("how many layers it has")
        return self.header.n_layers

    # what to try ------------------------------------------------------------------------------------------------

    def ways(self) -> Iterator[_Way]:
        contexts = [self.wishes.n_ctx_seq]
        least = self.wishes.least_n_ctx_seq
        if least is not None and least < self.wishes.n_ctx_seq:
            contexts.append(least)
        for n_ctx_seq in contexts:
            for kv_type in self.kv_types:
                for n_ubatch in self.wishes.n_ubatches:
                    yield _Way(n_ctx_seq, kv_type, n_ubatch)

    @property
    def most_ubatch(self) -> int:
        return self.wishes.n_ubatches[0]

    @property
    def kv_types(self) -> tuple[str, ...]:
        return ("f16", "q8_0") if self.wishes.may_quantize_kv and self.told.quantizes_kv else ("f16",)

    def options(self, way: _Way) -> Iterator[Alternative]:
        """What fits of this way: all on the GPUs, or experts in RAM, or fewer layers, or none."""
        cells = self.layout(way.n_ctx_seq, way.kv_type, way.n_ubatch)
        if self.profile.gpus and self.wishes.n_gpu_layers is not None:
            if way.n_ubatch == self.most_ubatch or self.wishes.n_gpu_layers:
                yield from self.if_fits(way, cells, self.work(min(self.wishes.n_gpu_layers, self.n_layers + 1)))
            return
        if self.profile.gpus:
            yield from self.on_gpus(way, cells)
        if (self.wishes.may_leave_gpu or not self.profile.gpus) and way.n_ubatch == self.most_ubatch:
            yield from self.if_fits(way, cells, self.work(0))

    def on_gpus(self, way: _Way, cells: Cells) -> Iterator[Alternative]:
        whole = self.work(self.n_layers + 1)
        if self.measure(cells, whole).gpus_fit:
            yield from self.if_fits(way, cells, whole)
            return
        if not self.wishes.may_leave_gpu:
            return
        if self.header.n_experts:
            yield from self.with_experts_in_ram(way, cells)
        least, most = 0, self.n_layers + 1
        while most - least > 1:
            middle = (least + most) // 2
            if self.measure(cells, self.work(middle)).gpus_fit:
                least = middle
            else:
                most = middle
        if least:
            yield from self.if_fits(way, cells, self.work(least))

    def with_experts_in_ram(self, way: _Way, cells: Cells) -> Iterator[Alternative]:
        least, most = 0, self.n_layers
        if not self.measure(cells, self.work(self.n_layers + 1, most)).gpus_fit:
            return
        while most - least > 1:
            middle = (least + most) // 2
            if self.measure(cells, self.work(self.n_layers + 1, middle)).gpus_fit:
                most = middle
            else:
                least = middle
        yield from self.if_fits(way, cells, self.work(self.n_layers + 1, most))

    def if_fits(self, way: _Way, cells: Cells, work: Work) -> Iterator[Alternative]:
        measured = self.measure(cells, work)
        if not measured.fits:
            return
        counts = [sum(device == number for device in work.devices) for number in range(1, work.n_devices)]
        yield Alternative(
            n_gpu_layers=sum(counts) + (work.output_device > 0),
            n_layers=self.n_layers,
            n_cpu_moe=len(work.experts_on_host),
            tensor_split=tuple(counts),
            n_ctx_seq=way.n_ctx_seq,
            n_seq_max=self.wishes.n_seq_max,
            n_ubatch=way.n_ubatch,
            type_k=way.kv_type,
            type_v=way.kv_type,
            devices=measured.devices if self.profile.gpus else measured.devices[:1],
            speed=self.speed(cells, work, way.n_ubatch),
            buffers_known=measured.buffers_known,
        )

    # what it takes ----------------------------------------------------------------------------------------------

    def layout(self, n_ctx_seq: int, kv_type: str, n_ubatch: int) -> Cells:
        """As the worker makes its context: one sequence more than slots, for proofs of life."""
        n_seq_max = self.wishes.n_seq_max
        return Cells(n_ctx_seq * n_seq_max, n_seq_max + 1, n_ubatch, kv_type, kv_type)

    def estimate(self, cells: Cells) -> Estimate:
        found = self.told.estimate(cells, self.wishes.n_outputs)
        if found is None:
            raise CannotTell("how many layers it has")
        if found.gpu_cache_bytes is None:
            raise CannotTell(f"how {self.header.architecture} keeps its context; a dry run on the machine itself tells")
        return found

    def work(self, n_gpu_layers: int, n_cpu_moe: int = 0) -> Work:
        """`n_gpu_layers` counted from the last, spread over the GPUs: each but the first takes what its budget holds."""
        first = max(0, self.n_layers + 1 - n_gpu_layers)
        n_gpus = len(self.profile.gpus)
        devices = [0] * self.n_layers
        number = self.n_layers - 1
        for gpu in range(n_gpus, 0, -1):
            room = self.room(gpu, n_cpu_moe) if gpu > 1 else None
            if gpu == n_gpus and room is not None:
                room -= self.plain.output_bytes + self.plain.tied_bytes
            while number >= first:
                if room is not None:
                    room -= self.layer_bytes(number, n_cpu_moe)
                    if room < 0:
                        break
                devices[number] = gpu
                number -= 1
        output_device = (devices[-1] or n_gpus) if n_gpu_layers else 0
        return Work(tuple(devices), output_device, n_gpus + 1, frozenset(range(first, n_cpu_moe)), self.cuda)

    @cached_property
    def cuda(self) -> frozenset[int]:
        """A card in a machine is taken for one of CUDA's."""
        return frozenset(number for number, gpu in enumerate(self.profile.gpus, start=1) if not gpu.is_remote)

    @cached_property
    def plain(self) -> Estimate:
        return self.estimate(self.layout(self.wishes.n_ctx_seq, "f16", self.most_ubatch))

    def room(self, gpu: int, n_cpu_moe: int) -> int:
        """Of one of several, for layers alone: the budget without what a device needs besides, generously."""
        half = self.n_layers // 2
        shared = Work((1,) * half + (2,) * (self.n_layers - half), 2, len(self.profile.gpus) + 1, cuda=self.cuda)
        buffers = max(self.compute(self.layout(self.wishes.n_ctx_seq, "f16", self.most_ubatch), shared)[0][1:])
        owner = self.profile.gpus[gpu - 1]
        return owner.budget_bytes - owner.overhead_bytes - (buffers if shared.n_copies > 1 else 2 * buffers)

    def layer_bytes(self, number: int, n_cpu_moe: int) -> int:
        layer = self.plain.layers[number]
        return layer.weights_bytes - (layer.experts_bytes if number < n_cpu_moe else 0) + (layer.cache_bytes or 0)

    def compute(self, cells: Cells, work: Work) -> tuple[tuple[int, ...], bool]:
        known = self.told.compute_bytes(cells, work, self.wishes.n_outputs)
        if known is not None:
            return known, True
        # A full batch of the widest things there are, several times over: an allowance, and said to be one.
        allowance = 512 * MIB + 64 * (self.header.n_embd or 8192) * cells.n_ubatch
        used = {0, *work.devices, work.output_device}
        sizes = [allowance if number in used else 0 for number in range(work.n_devices)]
        if work.helper is not None:
            sizes[work.helper] += self.largest_in_ram(work)
        return tuple(sizes), False

    def measure(self, cells: Cells, work: Work) -> _Measure:
        told = self.estimate(cells)
        buffers, known = self.compute(cells, work)
        weights, caches = [0] * work.n_devices, [0] * work.n_devices
        weights[0] = told.input_bytes
        for number, (layer, device) in enumerate(zip(told.layers, work.devices, strict=True)):
            in_ram = layer.experts_bytes if number in work.experts_on_host else 0
            weights[device] += layer.weights_bytes - in_ram
            weights[0] += in_ram
            caches[device] += layer.cache_bytes or 0
        weights[work.output_device] += told.output_bytes + (told.tied_bytes if work.output_device else 0)
        devices = []
        for number, owner in enumerate((self.profile.ram, *self.profile.gpus)):
            busy = number == 0 or number in work.devices or number == work.output_device
            devices.append(
                DeviceBytes(
                    owner.name,
                    weights[number],
                    caches[number],
                    buffers[number] + ((told.output_buffer_bytes or 0) if number == 0 else 0),
                    owner.overhead_bytes if busy else 0,
                    owner.budget_bytes,
                )
            )
        return _Measure(tuple(devices), known)

    def largest_in_ram(self, work: Work) -> int:
        """In large batches llama.cpp lets the GPU multiply with weights that lie in RAM, one at a time."""
        sizes = [
            n_bytes
            for number, (own, experts) in enumerate(self.told.largest)
            for n_bytes in (
                own if work.devices[number] == 0 else 0,
                experts if work.devices[number] == 0 or number in work.experts_on_host else 0,
            )
        ]
        return max(sizes, default=0)

    def shortfall(self) -> Shortfall:
        """Of the least that would do, and whether a wish is to blame."""
        least = self.wishes.least_n_ctx_seq or self.wishes.n_ctx_seq
        n_ctx_seq, kv_type = min(least, self.wishes.n_ctx_seq), self.kv_types[-1]
        cells = self.layout(n_ctx_seq, kv_type, self.most_ubatch)
        fixed = self.wishes.n_gpu_layers
        if self.profile.gpus and (fixed is not None or not self.wishes.may_leave_gpu):
            n_gpu_layers = self.n_layers + 1 if fixed is None else min(fixed, self.n_layers + 1)
            measured = self.measure(cells, self.work(n_gpu_layers)).devices
            short = next((each for each in measured if not each.fits), None)
            if short is not None:
                wish = self._blocking_wish()
                return Shortfall(
                    short.name,
                    short.total_bytes,
                    short.budget_bytes,
                    wish,
                    measured,
                    n_gpu_layers,
                    n_ctx_seq,
                    kv_type,
                )
        devices = self.measure(cells, self.work(0)).devices
        ram = devices[0]
        fitting = None
        if least > 256:
            fitting = self.without(n_ctx_seq=256, least_n_ctx_seq=None)
        wish = "n_ctx_seq" if fitting else None
        return Shortfall(ram.name, ram.total_bytes, ram.budget_bytes, wish, devices, 0, n_ctx_seq, kv_type)

    def _blocking_wish(self) -> str | None:
        if self.wishes.n_gpu_layers is not None and self.without(n_gpu_layers=None):
            return "n_gpu_layers"
        return "may_leave_gpu" if self.without(n_gpu_layers=None, may_leave_gpu=True) else None

    def without(self, **wishes: Any) -> tuple[Alternative, ...]:
        """What there would be with other wishes."""
        return place(self.header, self.profile, replace(self.wishes, **wishes), self.told).alternatives

    # how fast ---------------------------------------------------------------------------------------------------

    def speed(self, cells: Cells, work: Work, n_ubatch: int) -> Speed:
        told = self.estimate(cells)
        read, params, counts = ([0.0] * work.n_devices for _ in range(3))
        part = (self.header.n_experts_used or 0) / (self.header.n_experts or 1)
        density = (self.header.n_params or 0) / max(1, self.header.tensor_bytes)
        for number, (layer, device) in enumerate(zip(told.layers, work.devices, strict=True)):
            own = layer.weights_bytes - layer.experts_bytes
            experts = layer.experts_bytes * part
            reader = 0 if number in work.experts_on_host else device
            read[device] += own + (layer.cache_bytes or 0) / self.wishes.n_seq_max / 2
            read[reader] += experts
            params[device] += own * density
            params[reader] += experts * density
            counts[device] += 1
        head = told.output_bytes + told.tied_bytes
        read[work.output_device] += head
        params[work.output_device] += head * density
        devices: tuple[Device, ...] = (self.profile.ram, *self.profile.gpus)
        shares = [
            Share(device, int(read[number]), params[number], int(counts[number]))
            for number, device in enumerate(devices)
        ]
        return predict(shares, n_cores=self.profile.n_cores, n_ubatch=n_ubatch, offloads=bool(self.profile.gpus))
