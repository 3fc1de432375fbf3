"""What happens to the scheduler (events, each with the time) and what it wants done (effects)."""

from __future__ import annotations

from dataclasses import dataclass

from inference.core.loads.devices import BytesByDevice
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.vocabulary import LeaseKind
from inference.core.loads.ways import LoadWay
from inference.core.scheduling.decisions import Decision
from inference.core.scheduling.memory.ledger import Pool
from inference.core.scheduling.memory.residency import Failure, VariantFacts
from inference.core.scheduling.reasons import Wait
from inference.core.scheduling.refusals import Refusal

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
    resident_id: ResidentId


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
    resident_id: ResidentId
    launch: int
    fraction: float


@dataclass(frozen=True, slots=True)
class WorkerReady:
    now: float
    resident_id: ResidentId
    launch: int
    n_seq_max: int
    buffers_by_device: BytesByDevice
    """Weights, KV cache and compute buffers, as the worker counted them. What it took beyond them only the driver knows: that
    stays as it was expected until WorkerMeasured. Devices that are not named stay as they were reserved."""


@dataclass(frozen=True, slots=True)
class WorkerMeasured:
    """The driver told what the whole process of a resident variant holds; sent again only when that has changed."""

    now: float
    resident_id: ResidentId
    launch: int
    bytes_by_device: BytesByDevice
    """Buffers and overhead together. Devices that are not named stay as they are."""


@dataclass(frozen=True, slots=True)
class WorkerHealthy:
    """The worker reported that its decode steps go on, or that it is idle."""

    now: float
    resident_id: ResidentId
    launch: int


@dataclass(frozen=True, slots=True)
class WorkerEnding:
    """The worker's report pipe has closed: the process is about to be gone, and nobody should be sent to it."""

    now: float
    resident_id: ResidentId
    launch: int


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """The process is gone. `failure` says why, unless it was told to go."""

    now: float
    resident_id: ResidentId
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
    resident_id: ResidentId
    launch: int


@dataclass(frozen=True, slots=True)
class Grant:
    ticket: int
    resident_id: ResidentId
    launch: int


@dataclass(frozen=True, slots=True)
class Notify:
    """What `ticket` waits for has changed."""

    ticket: int
    wait: Wait


@dataclass(frozen=True, slots=True)
class Refuse:
    """Whoever waits at `ticket` is sent away."""

    ticket: int
    resident_id: ResidentId
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Complete:
    """The load or unload behind `ticket` is done."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided and on what grounds, for the log. Nothing is to be done about it."""

    now: float
    decision: Decision


Effect = StartWorker | StopWorker | Grant | Notify | Refuse | Complete | Decided
