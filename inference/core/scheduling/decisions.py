"""What the scheduler decided and on what grounds. Words are made of it for each reader: inference.wording.decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from inference.core.loads.devices import BytesByDevice, BytesOn
from inference.core.loads.options import LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.vocabulary import FailureReason
from inference.core.scheduling import refusals
from inference.core.scheduling.memory.ledger import ShortageCause
from inference.core.scheduling.memory.residency import Departure
from inference.core.scheduling.memory.way_choice import Why
from inference.core.scheduling.refusals import Refusal


@dataclass(frozen=True, slots=True)
class _Load:
    resident_id: ResidentId
    options: LoadOptions
    """Of the way."""
    holds: tuple[BytesOn, ...]
    rank: int
    """0: the best of its ways."""
    n_ways: int
    score: float
    best_score: float
    why: Why
    n_waiting: int
    """People."""
    load_seconds: float
    """Expected."""


@dataclass(frozen=True, slots=True)
class Loaded(_Load):
    """Its worker is started."""

    kind: ClassVar[Literal["load"]] = "load"


@dataclass(frozen=True, slots=True)
class Restored(_Load):
    """It comes back after what it had left for is over."""

    kind: ClassVar[Literal["restore"]] = "restore"
    departure: Departure
    """What it had left for."""


@dataclass(frozen=True, slots=True)
class Spared:
    """One that stays, and what its leaving would have cost."""

    resident_id: ResidentId
    cost_seconds: float


@dataclass(frozen=True, slots=True)
class _Leave:
    resident_id: ResidentId
    departure: Departure
    bytes_by_device: BytesByDevice
    idle_seconds: float | None
    """None: answering or loading."""
    answers: int
    for_resident: ResidentId | None
    """None where it leaves for other programs or a budget; then the shortage is told."""
    reload_seconds: float
    likelihood: float
    """Of being wanted again within ten minutes, 0 to 1."""
    cost_seconds: float
    spared: tuple[Spared, ...]
    """Up to three that would have cost more."""
    device: str | None = None
    device_name: str | None = None
    excess_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Evicted(_Leave):
    """It leaves at once: for another variant, other programs or a budget."""

    kind: ClassVar[Literal["evict"]] = "evict"


@dataclass(frozen=True, slots=True)
class Drained(_Leave):
    """It leaves when its running answers have ended."""

    kind: ClassVar[Literal["drain"]] = "drain"


@dataclass(frozen=True, slots=True)
class Stayed:
    """It drained for a need that has passed."""

    kind: ClassVar[Literal["stay"]] = "stay"
    resident_id: ResidentId
    departure: Departure
    """What it drained for."""


@dataclass(frozen=True, slots=True)
class WentIdle:
    """Unloaded, for nobody used it."""

    kind: ClassVar[Literal["idle"]] = "idle"
    resident_id: ResidentId
    idle_seconds: float


@dataclass(frozen=True, slots=True)
class Unloaded:
    """For a reason of its own: no other variant needs the room."""

    kind: ClassVar[Literal["unload"]] = "unload"
    resident_id: ResidentId
    departure: Departure


@dataclass(frozen=True, slots=True)
class _Pause:
    device: str
    device_name: str
    excess_bytes: int
    cause: ShortageCause
    resident_id: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class LoadingPaused(_Pause):
    """Nothing more is loaded on the device."""

    kind: ClassVar[Literal["pause"]] = "pause"


@dataclass(frozen=True, slots=True)
class LoadingResumed(_Pause):
    """What Paused told is over."""

    kind: ClassVar[Literal["resume"]] = "resume"


@dataclass(frozen=True, slots=True)
class Failed:
    """Its worker ended that should not have."""

    kind: ClassVar[Literal["failure"]] = "failure"
    resident_id: ResidentId
    reason: FailureReason
    detail: str
    """May quote the worker, and name files."""
    failures_in_a_row: int


@dataclass(frozen=True, slots=True)
class LoadRefused:
    """Everybody who waited for it, and whoever asks meanwhile, hears `refusal`."""

    kind: ClassVar[Literal["refuse"]] = "refuse"
    resident_id: ResidentId
    refusal: Refusal


Decision = (
    Loaded
    | Restored
    | Evicted
    | Drained
    | Stayed
    | WentIdle
    | Unloaded
    | LoadingPaused
    | LoadingResumed
    | Failed
    | LoadRefused
)
DecisionKind = Literal[
    "load", "restore", "evict", "drain", "stay", "idle", "unload", "pause", "resume", "failure", "refuse"
]


def mentioned(decision: Decision) -> tuple[ResidentId, ...]:
    """All residents that the decision is about, the one that it was taken on first."""
    match decision:
        case Evicted() | Drained():
            for_resident = () if decision.for_resident is None else (decision.for_resident,)
            return (decision.resident_id, *for_resident, *(each.resident_id for each in decision.spared))
        case LoadRefused(resident_id=resident_id, refusal=refusal):
            return (resident_id, *refusals.mentioned(refusal))
        case LoadingPaused() | LoadingResumed():
            return ()
    return (decision.resident_id,)
