"""Lists every way worth trying to load a variant, from all it can have down to nothing of a GPU.

Placement against the whole budgets tells the best way on an empty machine. A machine is seldom empty: the same question
asked against parts of the budgets gives ways that fit beside other variants.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from inference.core.loads.devices import RAM
from inference.core.loads.options import LoadOptions
from inference.core.loads.ways import LoadWay
from inference.core.planning.footprint import DeviceBytes
from inference.core.planning.header_estimates import HeaderEstimates
from inference.core.planning.placement import PlacedWay, Placement, Shortfall, place, score
from inference.core.planning.wishes import Wishes
from models_app.hardware import Budget, Profile

MIB = 1 << 20
SCALES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Parts of each GPU's budget."""
MOST_WAYS = 24
_F16_BYTES = 2


@dataclass(frozen=True, slots=True)
class EstimatedWay:
    """One way to load, as a worker is told, with what each device would hold by the header alone."""

    options: LoadOptions
    devices: Mapping[str, DeviceBytes]
    """By `Pool.device`: the RAM and each GPU that holds anything."""
    decode_tokens_per_second: float | None
    score: float
    """As placement ranks."""
    buffers_known: bool
    """False: compute buffers are allowed for, not known; a dry run tells."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one device held after a load."""

    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    overhead_bytes: int | None = None
    decode_tokens_per_second: float | None = None

    @property
    def buffers_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.compute_bytes


@dataclass(frozen=True, slots=True)
class LoadKnowledge:
    """What is known besides the header. Keys are digests of options."""

    measured: Mapping[str, Mapping[str, Measured]] = field(default_factory=dict)
    """Of this variant, by device."""
    overheads: Mapping[str, int] = field(default_factory=dict)
    """Beyond the buffers, of this variant or else of any, by device."""
    dry_runs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Exact compute buffers by device."""


def digest(options: LoadOptions) -> str:
    """Equal for options that allocate the same. Threads allocate nothing."""
    fields = {**options.to_json(), "n_threads": None}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def load_ways(
    estimates: HeaderEstimates, profile: Profile, gpu_ids: Sequence[str], wishes: Wishes, base: LoadOptions
) -> tuple[EstimatedWay, ...]:
    """Ways within the budgets, best first, at most MOST_WAYS. Where there is none: the one that needs least, though it fits not.

    `gpu_ids` names `profile.gpus`; `base` tells what placement does not decide. Raises CannotTell.
    """
    candidates: list[list[EstimatedWay]] = []

    def place_within(part: Profile) -> Placement:
        placement = place(estimates.header, part, wishes, estimates)
        candidates.append([_way(each, part, gpu_ids, wishes, base) for each in placement.ways])
        return placement

    scales = [each for each in SCALES if each or (wishes.may_leave_gpu and wishes.n_gpu_layers in (None, 0))]
    whole, *lesser = [_scaled(profile, each) for each in scales] if profile.gpus else [profile]
    best = place_within(whole)
    shortfall = best.shortfall
    for part in (*lesser, *_gpus_alone(profile, best)):
        placement = place_within(part)
        shortfall = shortfall or placement.shortfall
    found = _merged(candidates)
    return found if found or shortfall is None else (_too_large(shortfall, profile, gpu_ids, wishes, base),)


def corrected(way: EstimatedWay, known: LoadKnowledge) -> LoadWay:
    """`way` with what was measured in place of what was estimated."""
    key = digest(way.options)
    measured, exact = known.measured.get(key, {}), known.dry_runs.get(key, {})
    bytes_by_device, overhead_by_device = {}, {}
    for device, estimated in way.devices.items():
        overhead_bytes = known.overheads.get(device, estimated.overhead_bytes)
        own = measured.get(device)
        if own is not None:
            overhead_bytes = own.overhead_bytes if own.overhead_bytes is not None else overhead_bytes
            buffers_bytes = own.buffers_bytes
        else:
            buffers_bytes = estimated.weights_bytes + estimated.kv_bytes + exact.get(device, estimated.compute_bytes)
        bytes_by_device[device] = buffers_bytes + overhead_bytes
        if overhead_bytes:
            overhead_by_device[device] = overhead_bytes
    speeds = [own.decode_tokens_per_second for own in measured.values() if own.decode_tokens_per_second is not None]
    return LoadWay(
        options=way.options,
        bytes_by_device=bytes_by_device,
        overhead_by_device=overhead_by_device,
        decode_tokens_per_second=speeds[0] if speeds else way.decode_tokens_per_second,
        score=way.score,
    )


def unknown_way(
    estimates: HeaderEstimates,
    size_bytes: int,
    profile: Profile,
    gpu_ids: Sequence[str],
    wishes: Wishes,
    base: LoadOptions,
    exact: Mapping[str, int] | None = None,
) -> EstimatedWay:
    """A way for a header that does not tell: the file, and room for the widest cache and buffers.

    `exact`: compute buffers by a dry run of the very options that this returns without them.
    """
    header = estimates.header
    width = header.n_embd or 8192
    kv_bytes = 2 * width * (header.n_layers or 0) * _F16_BYTES * base.n_ctx
    allowance = 512 * MIB + 64 * width * base.n_ubatch
    device: str = RAM
    owner, options = profile.ram, base
    if profile.gpus:
        options = replace(base, n_gpu_layers=0)
        needed_bytes = size_bytes + kv_bytes + allowance
        fitting = [number for number, gpu in enumerate(profile.gpus) if gpu.budget_bytes >= needed_bytes]
        if (fitting and wishes.n_gpu_layers != 0) or not wishes.may_leave_gpu:
            number = fitting[0] if fitting else 0
            split = tuple(int(each == number) for each in range(len(profile.gpus))) if len(profile.gpus) > 1 else None
            owner, device = profile.gpus[number], gpu_ids[number]
            options = replace(base, n_gpu_layers=wishes.n_gpu_layers, tensor_split=split)
    sizes = exact or {device: allowance, RAM: allowance}
    ram = profile.ram
    devices: dict[str, DeviceBytes] = {
        RAM: DeviceBytes(ram.name, 0, 0, sizes.get(RAM, 0), ram.overhead_bytes, ram.budget_bytes)
    }
    devices[device] = DeviceBytes(
        owner.name, size_bytes, kv_bytes, sizes.get(device, 0), owner.overhead_bytes, owner.budget_bytes
    )
    return EstimatedWay(options, devices, None, 1.0, exact is not None)


def _scaled(profile: Profile, scale: float) -> Profile:
    if not scale:
        return replace(profile, gpus=())
    return replace(
        profile,
        gpus=tuple(replace(gpu, budget=Budget(n_bytes=int(gpu.budget_bytes * scale))) for gpu in profile.gpus),
    )


def _gpus_alone(profile: Profile, placement: Placement) -> list[Profile]:
    """Profiles with each GPU alone that the best way leaves empty: those that it takes may be occupied while this one is not."""
    if not placement.ways or not placement.ways[0].n_gpu_layers:
        return []
    nothing = Budget(n_bytes=0)
    return [
        replace(
            profile,
            gpus=tuple(gpu if n == number else replace(gpu, budget=nothing) for n, gpu in enumerate(profile.gpus)),
        )
        for number, held in enumerate(placement.ways[0].devices[1:])
        if not held.total_bytes
    ]


def _way(
    placed: PlacedWay, profile: Profile, gpu_ids: Sequence[str], wishes: Wishes, base: LoadOptions
) -> EstimatedWay:
    options = replace(
        base,
        n_ctx_seq=placed.n_ctx_seq,
        n_seq_max=placed.n_seq_max,
        n_ubatch=placed.n_ubatch,
        type_k=placed.type_k,
        type_v=placed.type_v,
        n_cpu_moe=placed.n_cpu_moe,
    )
    if gpu_ids:
        split = placed.tensor_split if len(gpu_ids) > 1 and placed.n_gpu_layers else None
        options = replace(options, n_gpu_layers=placed.n_gpu_layers, tensor_split=split)
    devices = {
        device: each
        for device, each in zip((RAM, *gpu_ids), placed.devices, strict=False)
        if each.total_bytes or device == RAM
    }
    owners = dict(zip((RAM, *gpu_ids), (profile.ram, *profile.gpus), strict=False))
    reads = [owners[device] for device, each in devices.items() if each.weights_bytes]
    speed = placed.speed.decode_tokens_per_second
    return EstimatedWay(
        options,
        devices,
        speed if all(owner.bandwidth_bytes_per_second for owner in reads) else None,
        score(placed, wishes),
        placed.buffers_known,
    )


def _too_large(
    short: Shortfall, profile: Profile, gpu_ids: Sequence[str], wishes: Wishes, base: LoadOptions
) -> EstimatedWay:
    devices = {
        device: each
        for device, each in zip((RAM, *gpu_ids), short.devices, strict=False)
        if each.total_bytes or device == RAM
    }
    n_gpu_layers = short.n_gpu_layers if profile.gpus else base.n_gpu_layers
    options = replace(base, n_ctx_seq=short.n_ctx_seq, type_k=short.kv_type, type_v=short.kv_type)
    return EstimatedWay(replace(options, n_gpu_layers=n_gpu_layers), devices, None, 0.0, True)


def _merged(candidates: Sequence[Sequence[EstimatedWay]]) -> tuple[EstimatedWay, ...]:
    """All candidates once; where there are too many, the best of every part of the budgets stay."""
    kept: dict[LoadOptions, EstimatedWay] = {}
    for row in zip_longest(*candidates):
        for way in row:
            if way is not None and len(kept) < MOST_WAYS:
                kept.setdefault(way.options, way)
    return tuple(sorted(kept.values(), key=_rank))


def _rank(way: EstimatedWay) -> tuple[float, int]:
    on_gpus = sum(each.total_bytes for device, each in way.devices.items() if device != RAM)
    return -way.score, on_gpus
