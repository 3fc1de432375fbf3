"""What happens to the scheduler (events, each with the time) and what it wants done (effects)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from inference.core.loads.devices import BytesByDevice
from inference.core.loads.ways import LoadWay
from inference.core.scheduling.fair_turns import LeaseKind
from inference.core.scheduling.ledger import Pool
from inference.core.scheduling.residency import Failure, VariantFacts

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
    """A person wants the variant resident: earlier failures are forgotten.

    `anyway`: before everybody who waits, and busy residents drain for it at once. Neither cuts an answer, nor takes a
    pinned variant's place, nor exceeds a budget."""

    now: float
    ticket: int
    facts: VariantFacts
    anyway: bool = False


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
    buffers_by_device: BytesByDevice
    """Weights, KV cache and compute buffers, as the worker counted them. What it took beyond them only the driver knows: that
    stays as it was expected until WorkerMeasured. Devices that are not named stay as they were reserved."""


@dataclass(frozen=True, slots=True)
class WorkerMeasured:
    """The driver told what the whole process of a resident variant holds; sent again only when that has changed."""

    now: float
    variant_id: int
    launch: int
    bytes_by_device: BytesByDevice
    """Buffers and overhead together. Devices that are not named stay as they are."""


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
class PoolsChanged:
    """The owner edited a budget, or what other programs use was sampled again. `pools` are all there are now."""

    now: float
    pools: tuple[Pool, ...]


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
    | WorkerMeasured
    | WorkerHealthy
    | WorkerEnding
    | WorkerEnded
    | PoolsChanged
    | ShutdownAsked
    | Tick
)

# why somebody waits -------------------------------------------------------------------------------------------

ReasonKind = Literal["slots", "room", "behind", "leaving", "loading", "lingering", "foreign"]


@dataclass(frozen=True, slots=True)
class Reason:
    """`slots`: every slot of the variant is leased. `room`: `variants` must finish `answers` running answers and leave.
    `behind`: `variants` are loaded first. `leaving`: the variant itself is on its way out and comes back.
    `loading`: the variant is loading, and its slots go to earlier requests. `lingering`: whoever used `variants` last comes
    back within moments as a rule, so they stay for a blink. `foreign`: other programs use so much of `device` that it
    doesn't fit until they give some back."""

    kind: ReasonKind
    variants: tuple[int, ...] = ()
    answers: int = 0
    device: str | None = None
    """`Pool.name`."""
    short_bytes: int | None = None
    """Of a foreign reason: how much they must give back, in whole steps, so that not every sample is news."""


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
    way: LoadWay
    """The way chosen; its bytes are reserved."""

    @property
    def bytes_by_device(self) -> BytesByDevice:
        return self.way.bytes_by_device

    @property
    def reserved_bytes(self) -> int:
        return sum(self.way.bytes_by_device.values())


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
    """`facts` by code: does_not_fit device (its name), needed_bytes, budget_bytes, pinned_bytes, pinned (variant ids),
    foreign_bytes; failed reason, detail, failures_in_a_row, final."""

    ticket: int
    variant_id: int
    code: RefusalCode
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Complete:
    """The load or unload behind `ticket` is done."""

    ticket: int


DecisionKind = Literal[
    "load", "evict", "drain", "stay", "unload", "idle", "pause", "resume", "restore", "refuse", "failure"
]


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided and on what grounds, for the log. Nothing is to be done about it.

    `facts` by kind:

    - load: options (of the way), bytes_by_device, rank (0: the best of `ways`), ways (how many), worth, best_worth, why (a
      choice.Why), waiting (people), load_seconds (expected)
    - evict, drain: departure, for_variant (None where not for another), device and excess_bytes (where for a shortage),
      bytes_by_device, idle_seconds (None: busy or loading), answers, reload_seconds, likelihood, cost_seconds, spared: up to three
      [variant id, cost_seconds] of those that would have cost more
    - stay: departure (what it drained for)
    - unload: departure; idle: idle_seconds
    - pause, resume: device (its name), excess_bytes, cause
    - restore: as load, and departure (what it had left for)
    - refuse: code and Refuse.facts; failure: reason, detail, failures_in_a_row"""

    now: float
    kind: DecisionKind
    variant_id: int | None
    facts: dict[str, Any] = field(default_factory=dict)


Effect = StartWorker | StopWorker | Grant | Notify | Refuse | Complete | Decided
