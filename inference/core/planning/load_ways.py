"""Every way worth trying to load a variant on a machine, from all it can have down to nothing of a GPU.

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
from inference.core.loads.ways import LoadAlternative
from inference.core.planning.header_estimates import Told
from inference.core.planning.placement import Alternative, DeviceBytes, Placement, Shortfall, Wishes, place, worth
from models_app.hardware import Budget, Profile

MIB = 1 << 20
SCALES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Parts of each GPU's budget."""
MOST_WAYS = 24
_F16_BYTES = 2


@dataclass(frozen=True, slots=True)
class Way:
    """One way to load, with what each device would hold by the header alone."""

    options: LoadOptions
    devices: Mapping[str, DeviceBytes]
    """By `Pool.device`: the RAM and each GPU that holds anything."""
    decode_tokens_per_second: float | None
    worth: float
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
class Known:
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


def ladder(told: Told, profile: Profile, gpu_ids: Sequence[str], wishes: Wishes, base: LoadOptions) -> tuple[Way, ...]:
    """Ways within the budgets, best first, at most MOST_WAYS. Where there is none: the one that needs least, though it fits not.

    `gpu_ids` names `profile.gpus`; `base` tells what placement does not decide. Raises CannotTell.
    """
    rungs: list[list[Way]] = []

    def climb(part: Profile) -> Placement:
        placement = place(told.header, part, wishes, told)
        rungs.append([_way(each, part, gpu_ids, wishes, base) for each in placement.alternatives])
        return placement

    scales = [each for each in SCALES if each or (wishes.may_leave_gpu and wishes.n_gpu_layers in (None, 0))]
    whole, *lesser = [_scaled(profile, each) for each in scales] if profile.gpus else [profile]
    best = climb(whole)
    shortfall = best.shortfall
    for part in (*lesser, *_gpus_alone(profile, best)):
        placement = climb(part)
        shortfall = shortfall or placement.shortfall
    found = _merged(rungs)
    return found if found or shortfall is None else (_too_large(shortfall, profile, gpu_ids, wishes, base),)


def corrected(way: Way, known: Known) -> LoadAlternative:
    """`way` with what was measured in place of what was estimated."""
    key = digest(way.options)
    measured, exact = known.measured.get(key, {}), known.dry_runs.get(key, {})
    bytes_by_device, overhead_by_device = {}, {}
    for device, told in way.devices.items():
        overhead_bytes = known.overheads.get(device, told.overhead_bytes)
        own = measured.get(device)
        if own is not None:
            overhead_bytes = own.overhead_bytes if own.overhead_bytes is not None else overhead_bytes
            buffers_bytes = own.buffers_bytes
        else:
            buffers_bytes = told.weights_bytes + told.kv_bytes + exact.get(device, told.compute_bytes)
        bytes_by_device[device] = buffers_bytes + overhead_bytes
        if overhead_bytes:
            overhead_by_device[device] = overhead_bytes
    speeds = [own.decode_tokens_per_second for own in measured.values() if own.decode_tokens_per_second is not None]
    return LoadAlternative(
        options=way.options,
        bytes_by_device=bytes_by_device,
        overhead_by_device=overhead_by_device,
        decode_tokens_per_second=speeds[0] if speeds else way.decode_tokens_per_second,
        worth=way.worth,
    )


def unknown_way(
    told: Told,
    size_bytes: int,
    profile: Profile,
    gpu_ids: Sequence[str],
    wishes: Wishes,
    base: LoadOptions,
    exact: Mapping[str, int] | None = None,
) -> Way:
    """For a header that does not tell: the file, and room for a cache and buffers as wide as they may get.

    `exact`: compute buffers by a dry run of the very options that this returns without them.
    """
    header = told.header
    width = header.n_embd or 8192
    kv_bytes = 2 * width * (header.n_layers or 0) * _F16_BYTES * base.n_ctx
    allowance = 512 * MIB + 64 * width * base.n_ubatch
    owner, device, options = profile.ram, RAM, base
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
    devices = {RAM: DeviceBytes(ram.name, 0, 0, sizes.get(RAM, 0), ram.overhead_bytes, ram.budget_bytes)}
    devices[device] = DeviceBytes(
        owner.name, size_bytes, kv_bytes, sizes.get(device, 0), owner.overhead_bytes, owner.budget_bytes
    )
    return Way(options, devices, None, 1.0, exact is not None)


def _scaled(profile: Profile, scale: float) -> Profile:
    if not scale:
        return replace(profile, gpus=())
    return replace(
        profile,
        gpus=tuple(replace(gpu, budget=Budget(n_bytes=int(gpu.budget_bytes * scale))) for gpu in profile.gpus),
    )


def _gpus_alone(profile: Profile, placement: Placement) -> list[Profile]:
    """With each GPU alone that the best way leaves empty: those that it takes may be occupied while this one is not."""
    if not placement.alternatives or not placement.alternatives[0].n_gpu_layers:
        return []
    nothing = Budget(n_bytes=0)
    return [
        replace(
            profile,
            gpus=tuple(gpu if n == number else replace(gpu, budget=nothing) for n, gpu in enumerate(profile.gpus)),
        )
        for number, held in enumerate(placement.alternatives[0].devices[1:])
        if not held.total_bytes
    ]


def _way(alternative: Alternative, profile: Profile, gpu_ids: Sequence[str], wishes: Wishes, base: LoadOptions) -> Way:
    options = replace(
        base,
        n_ctx_seq=alternative.n_ctx_seq,
        n_seq_max=alternative.n_seq_max,
        n_ubatch=alternative.n_ubatch,
        type_k=alternative.type_k,
        type_v=alternative.type_v,
        n_cpu_moe=alternative.n_cpu_moe,
    )
    if gpu_ids:
        split = alternative.tensor_split if len(gpu_ids) > 1 and alternative.n_gpu_layers else None
        options = replace(options, n_gpu_layers=alternative.n_gpu_layers, tensor_split=split)
    devices = {
        device: each
        for device, each in zip((RAM, *gpu_ids), alternative.devices, strict=False)
        if each.total_bytes or device == RAM
    }
    owners = dict(zip((RAM, *gpu_ids), (profile.ram, *profile.gpus), strict=False))
    reads = [owners[device] for device, each in devices.items() if each.weights_bytes]
    speed = alternative.speed.decode_tokens_per_second
    return Way(
        options,
        devices,
        speed if all(owner.bandwidth_bytes_per_second for owner in reads) else None,
        worth(alternative, wishes),
        alternative.buffers_known,
    )


def _too_large(short: Shortfall, profile: Profile, gpu_ids: Sequence[str], wishes: Wishes, base: LoadOptions) -> Way:
    devices = {
        device: each
        for device, each in zip((RAM, *gpu_ids), short.devices, strict=False)
        if each.total_bytes or device == RAM
    }
    n_gpu_layers = short.n_gpu_layers if profile.gpus else base.n_gpu_layers
    options = replace(base, n_ctx_seq=short.n_ctx_seq, type_k=short.kv_type, type_v=short.kv_type)
    return Way(replace(options, n_gpu_layers=n_gpu_layers), devices, None, 0.0, True)


def _merged(rungs: Sequence[Sequence[Way]]) -> tuple[Way, ...]:
    """Without repetitions; where there are too many, the best of every rung stay."""
    kept: dict[LoadOptions, Way] = {}
    for row in zip_longest(*rungs):
        for way in row:
            if way is not None and len(kept) < MOST_WAYS:
                kept.setdefault(way.options, way)
    return tuple(sorted(kept.values(), key=_rank))


def _rank(way: Way) -> tuple[float, int]:
    on_gpus = sum(each.total_bytes for device, each in way.devices.items() if device != RAM)
    return -way.worth, on_gpus
