"""What people should know about a placement before anybody waits for it, as facts. `inference.wording.placements` says them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from inference.core.planning.fit import Fit, fit_of_way
from inference.core.planning.footprint import DeviceBytes
from inference.core.planning.placement import PlacedWay, Placement
from inference.core.planning.roofline import ASSUMED_BANDWIDTH
from inference.core.planning.smaller_quantization import SmallerQuantization, smaller_quantization
from inference.core.planning.wishes import Wishes
from models_app.gguf import Header
from models_app.hardware import Profile

SLOW_TOKENS_PER_SECOND = 5.0
"""About how fast people read."""


@dataclass(frozen=True, slots=True)
class SilentSpill:
    """More layers would spill into RAM silently. It loads, nobody complains, and it is ten to a thousand times slower."""

    code: ClassVar = "silent_spill"
    n_most_layers: int
    """All of them, the output counted."""
    tightest: DeviceBytes
    """What these would take of the GPU that has the least room for them."""


@dataclass(frozen=True, slots=True)
class Slow:
    code: ClassVar = "slow"
    decode_tokens_per_second: float
    ram: DeviceBytes


@dataclass(frozen=True, slots=True)
class BetterSmaller:
    """A smaller quantization of the same model would serve better."""

    code: ClassVar = "smaller_quantization"
    quantization: SmallerQuantization
    fits_gpu: bool
    """False: it is only faster, for less is read from RAM."""


@dataclass(frozen=True, slots=True)
class SmallerModel:
    """Only a model with fewer parameters would be much faster."""

    code: ClassVar = "smaller_model"
    has_gpu: bool


@dataclass(frozen=True, slots=True)
class QuantizedCache:
    code: ClassVar = "quantized_kv"
    type_k: str


@dataclass(frozen=True, slots=True)
class ShorterContext:
    code: ClassVar = "shorter_context"
    n_ctx_seq: int
    preferred: int


@dataclass(frozen=True, slots=True)
class BeyondTraining:
    code: ClassVar = "beyond_training"
    n_ctx_train: int


@dataclass(frozen=True, slots=True)
class BuffersNotKnown:
    """Compute buffers are allowed for; a dry run tells them exactly."""

    code: ClassVar = "buffers_not_known"
    architecture: str | None


@dataclass(frozen=True, slots=True)
class BandwidthNotKnown:
    """The predicted speed rests on an assumption."""

    code: ClassVar = "bandwidth_not_known"
    device_name: str
    assumed_bytes_per_second: int


Caution = (
    SilentSpill
    | Slow
    | BetterSmaller
    | SmallerModel
    | QuantizedCache
    | ShorterContext
    | BeyondTraining
    | BuffersNotKnown
    | BandwidthNotKnown
)


def cautions(
    way: PlacedWay, placement: Placement, header: Header, profile: Profile, wishes: Wishes
) -> tuple[Caution, ...]:
    """About one of `placement`'s ways, the gravest first."""
    found: list[Caution] = []
    fit, speed = fit_of_way(way, profile), way.speed.decode_tokens_per_second
    is_slow = speed < SLOW_TOKENS_PER_SECOND
    if fit is Fit.PART:
        tightest = max(placement.all_on_gpu[1:], key=lambda each: each.total_bytes - each.budget_bytes)
        found.append(SilentSpill(way.n_layers + 1, tightest))
    if is_slow:
        found.append(Slow(speed, way.devices[0]))
    if is_slow or fit is not Fit.WHOLE:
        found.extend(_better_choices(header, placement, profile))
    if way.type_k != "f16":
        found.append(QuantizedCache(way.type_k))
    if way.n_ctx_seq < wishes.n_ctx_seq:
        found.append(ShorterContext(way.n_ctx_seq, wishes.n_ctx_seq))
    if header.n_ctx_train is not None and way.n_ctx_seq > header.n_ctx_train:
        found.append(BeyondTraining(header.n_ctx_train))
    if not way.buffers_known:
        found.append(BuffersNotKnown(header.architecture))
    owners = zip(way.devices, (profile.ram, *profile.gpus), strict=False)
    unknown = [owner for used, owner in owners if used.weights_bytes and owner.bandwidth_bytes_per_second is None]
    if unknown:
        found.append(BandwidthNotKnown(unknown[-1].name, ASSUMED_BANDWIDTH[unknown[-1].kind]))
    return tuple(found)


def _better_choices(header: Header, placement: Placement, profile: Profile) -> list[Caution]:
    """A quantization that fits the GPUs whole; else one that is a fifth smaller, and a smaller model."""
    besides = sum(each.total_bytes - each.weights_bytes for each in placement.all_on_gpu[1:])
    budget_bytes = sum(gpu.budget_bytes for gpu in profile.gpus)
    whole = smaller_quantization(header, lambda n_bytes: n_bytes + besides <= budget_bytes) if profile.gpus else None
    if whole is not None:
        return [BetterSmaller(whole, fits_gpu=True)]
    less = smaller_quantization(header, lambda n_bytes: n_bytes <= 0.82 * header.tensor_bytes)
    found: list[Caution] = [] if less is None else [BetterSmaller(less, fits_gpu=False)]
    return [*found, SmallerModel(bool(profile.gpus))]
