"""Tells what a way to load holds of each device, and how fast it is. Bytes come from the header (`models_app.memory`),
speed from a roofline; nothing is tried out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from inference.core.planning.header_estimates import HeaderEstimates
from inference.core.planning.roofline import Share, Speed, predict
from inference.core.planning.wishes import Wishes
from models_app.gguf import Header
from models_app.hardware import Device, Profile
from models_app.memory import Cells, Estimate, Work

MIB = 1 << 20


class NotTold(Enum):
    """What a header does not say, and nothing can be placed without."""

    N_LAYERS = "n_layers"
    CACHE = "cache"
    """How the architecture keeps its context: a dry run on the machine itself tells."""


class CannotTell(Exception):
    """The header does not say what the variant takes."""

    def __init__(self, what: NotTold, architecture: str | None) -> None:
        super().__init__(what.value)
        self.what = what
        self.architecture = architecture


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
class Footprint:
    """What one way holds, fitting or not."""

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
class Footprints:
    """Measures ways to load one header on one machine, under its owner's wishes."""

    profile: Profile
    wishes: Wishes
    estimates: HeaderEstimates

    @property
    def header(self) -> Header:
        return self.estimates.header

    @cached_property
    def n_layers(self) -> int:
        if self.header.n_layers is None:
            raise CannotTell(NotTold.N_LAYERS, self.header.architecture)
        return self.header.n_layers

    @property
    def most_ubatch(self) -> int:
        return self.wishes.n_ubatches[0]

    def layout(self, n_ctx_seq: int, kv_type: str, n_ubatch: int) -> Cells:
        """The context as the worker makes it: one sequence more than slots, for proofs of life."""
        n_seq_max = self.wishes.n_seq_max
        return Cells(n_ctx_seq * n_seq_max, n_seq_max + 1, n_ubatch, kv_type, kv_type)

    def estimate(self, cells: Cells) -> Estimate:
        found = self.estimates.estimate(cells, self.wishes.n_outputs)
        if found is None:
            raise CannotTell(NotTold.N_LAYERS, self.header.architecture)
        if found.gpu_cache_bytes is None:
            raise CannotTell(NotTold.CACHE, self.header.architecture)
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
        """What one of several GPUs has for layers: its budget without what it needs besides, generously."""
        half = self.n_layers // 2
        shared = Work((1,) * half + (2,) * (self.n_layers - half), 2, len(self.profile.gpus) + 1, cuda=self.cuda)
        buffers = max(self.compute(self.layout(self.wishes.n_ctx_seq, "f16", self.most_ubatch), shared)[0][1:])
        owner = self.profile.gpus[gpu - 1]
        return owner.budget_bytes - owner.overhead_bytes - (buffers if shared.n_copies > 1 else 2 * buffers)

    def layer_bytes(self, number: int, n_cpu_moe: int) -> int:
        layer = self.plain.layers[number]
        return layer.weights_bytes - (layer.experts_bytes if number < n_cpu_moe else 0) + (layer.cache_bytes or 0)

    def compute(self, cells: Cells, work: Work) -> tuple[tuple[int, ...], bool]:
        known = self.estimates.compute_bytes(cells, work, self.wishes.n_outputs)
        if known is not None:
            return known, True
        # A full batch of the widest things there are, several times over: an allowance, and said to be one.
        allowance = 512 * MIB + 64 * (self.header.n_embd or 8192) * cells.n_ubatch
        used = {0, *work.devices, work.output_device}
        sizes = [allowance if number in used else 0 for number in range(work.n_devices)]
        if work.helper is not None:
            sizes[work.helper] += self.largest_in_ram(work)
        return tuple(sizes), False

    def measure(self, cells: Cells, work: Work) -> Footprint:
        estimate = self.estimate(cells)
        buffers, known = self.compute(cells, work)
        weights, caches = [0] * work.n_devices, [0] * work.n_devices
        weights[0] = estimate.input_bytes
        for number, (layer, device) in enumerate(zip(estimate.layers, work.devices, strict=True)):
            in_ram = layer.experts_bytes if number in work.experts_on_host else 0
            weights[device] += layer.weights_bytes - in_ram
            weights[0] += in_ram
            caches[device] += layer.cache_bytes or 0
        weights[work.output_device] += estimate.output_bytes + (estimate.tied_bytes if work.output_device else 0)
        devices = []
        for number, owner in enumerate((self.profile.ram, *self.profile.gpus)):
            busy = number == 0 or number in work.devices or number == work.output_device
            devices.append(
                DeviceBytes(
                    owner.name,
                    weights[number],
                    caches[number],
                    buffers[number] + ((estimate.output_buffer_bytes or 0) if number == 0 else 0),
                    owner.overhead_bytes if busy else 0,
                    owner.budget_bytes,
                )
            )
        return Footprint(tuple(devices), known)

    def largest_in_ram(self, work: Work) -> int:
        """The largest tensor in RAM: in large batches llama.cpp lets the GPU multiply with these, one at a time."""
        sizes = [
            n_bytes
            for number, (own, experts) in enumerate(self.estimates.largest)
            for n_bytes in (
                own if work.devices[number] == 0 else 0,
                experts if work.devices[number] == 0 or number in work.experts_on_host else 0,
            )
        ]
        return max(sizes, default=0)

    def speed(self, cells: Cells, work: Work, n_ubatch: int) -> Speed:
        estimate = self.estimate(cells)
        read, params, counts = ([0.0] * work.n_devices for _ in range(3))
        part = (self.header.n_experts_used or 0) / (self.header.n_experts or 1)
        density = (self.header.n_params or 0) / max(1, self.header.tensor_bytes)
        for number, (layer, device) in enumerate(zip(estimate.layers, work.devices, strict=True)):
            own = layer.weights_bytes - layer.experts_bytes
            experts = layer.experts_bytes * part
            reader = 0 if number in work.experts_on_host else device
            read[device] += own + (layer.cache_bytes or 0) / self.wishes.n_seq_max / 2
            read[reader] += experts
            params[device] += own * density
            params[reader] += experts * density
            counts[device] += 1
        head = estimate.output_bytes + estimate.tied_bytes
        read[work.output_device] += head
        params[work.output_device] += head * density
        devices: tuple[Device, ...] = (self.profile.ram, *self.profile.gpus)
        shares = [
            Share(device, int(read[number]), params[number], int(counts[number]))
            for number, device in enumerate(devices)
        ]
        return predict(shares, n_cores=self.profile.n_cores, n_ubatch=n_ubatch, offloads=bool(self.profile.gpus))
