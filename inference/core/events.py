"""What happens to the scheduler (events, each with the time) and what it wants done (effects)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from inference.core.residency import Failure, VariantFacts
from inference.core.turns import LeaseKind

# events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LeaseAsked:
    now: float
    ticket: int
    facts: VariantFacts
    user: str
    kind: LeaseKind = "interactive"
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class LoadAsked:
    """A person wants the variant resident: earlier failures are forgotten."""

    now: float
    ticket: int
    facts: VariantFacts


@dataclass(frozen=True, slots=True)
class UnloadAsked:
    now: float
    ticket: int
    variant_id: int


@dataclass(frozen=True, slots=True)
class Left:
    """The connection behind `ticket` closed: its lease is returned, or it leaves the queue."""

    now: float
    ticket: int


@dataclass(frozen=True, slots=True)
class FactsRead:
    """The variant's row or file was read again."""

    now: float
    facts: VariantFacts


@dataclass(frozen=True, slots=True)
class WorkerLoading:
    now: float
    variant_id: int
    launch: int
    fraction: float


@dataclass(frozen=True, slots=True)
class WorkerReady:
    now: float
    variant_id: int
    launch: int
    n_seq_max: int
    measured_bytes: int
    """Weights, KV cache and compute buffers, as the worker reports them."""


@dataclass(frozen=True, slots=True)
class WorkerHealthy:
    """The worker reported that its decode steps go on, or that it is idle."""

    now: float
    variant_id: int
    launch: int


@dataclass(frozen=True, slots=True)
class WorkerEnding:
    """The worker's report pipe has closed: the process is about to be gone, and nobody should be sent to it."""

    now: float
    variant_id: int
    launch: int


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """The process is gone. `failure` says why, unless it was told to go."""

    now: float
    variant_id: int
    launch: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class ShutdownAsked:
    now: float
    drain_seconds: float


@dataclass(frozen=True, slots=True)
class Tick:
    """The time that `Scheduler.next_deadline` named has come."""

    now: float


Event = (
    LeaseAsked
    | LoadAsked
    | UnloadAsked
    | Left
    | FactsRead
    | WorkerLoading
    | WorkerReady
    | WorkerHealthy
    | WorkerEnding
    | WorkerEnded
    | ShutdownAsked
    | Tick
)

# why somebody waits -------------------------------------------------------------------------------------------

ReasonKind = Literal["slots", "room", "behind", "leaving", "loading"]


@dataclass(frozen=True, slots=True)
class Reason:
    """`slots`: every slot of the variant is leased. `room`: `variants` must finish `answers` running answers and leave.
    `behind`: `variants` are loaded first. `leaving`: the variant itself is on its way out and comes back.
    `loading`: the variant is loading, and its slots go to earlier requests."""

    kind: ReasonKind
    variants: tuple[int, ...] = ()
    answers: int = 0


@dataclass(frozen=True, slots=True)
class InQueue:
    position: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class ForEviction:
    variants: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ForLoading:
    fraction: float


Wait = InQueue | ForEviction | ForLoading

# effects ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartWorker:
    launch: int
    facts: VariantFacts
    reserved_bytes: int


@dataclass(frozen=True, slots=True)
class StopWorker:
    variant_id: int
    launch: int


@dataclass(frozen=True, slots=True)
class Grant:
    ticket: int
    variant_id: int
    launch: int


@dataclass(frozen=True, slots=True)
class Notify:
    """What `ticket` waits for has changed."""

    ticket: int
    wait: Wait


RefusalCode = Literal["does_not_fit", "failed", "unloaded", "shutting_down"]


@dataclass(frozen=True, slots=True)
class Refuse:
    """`facts` by code: does_not_fit needed_bytes, budget_bytes, pinned_bytes, pinned (variant ids);
    failed reason, detail, failures_in_a_row, final."""

    ticket: int
    variant_id: int
    code: RefusalCode
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Complete:
    """The load or unload behind `ticket` is done."""

    ticket: int


Effect = StartWorker | StopWorker | Grant | Notify | Refuse | Complete
