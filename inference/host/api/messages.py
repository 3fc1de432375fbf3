"""What the host says and hears on its Unix socket (`settings.HOST_SOCKET`): newline-delimited JSON, framed by engine.protocol.

Answers hold facts and ids, no sentences: host.api.wire carries them, inference.wording words them for whoever reads.

One connection carries one request. `lease` and `watch` keep it open: the open connection *is* the lease, and closing it gives
the lease back (or leaves the queue) at once.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from inference.core.loads.purposes import Purpose
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.vocabulary import FailureReason, LeaseKind, ResidencyState
from inference.core.scheduling.decisions import Decision
from inference.core.scheduling.preview import Preview
from inference.core.scheduling.reasons import Reason, Wait
from inference.core.scheduling.refusals import Refusal
from inference.engine.protocol import DeviceReport

# caller → host ------------------------------------------------------------------------------------------------


class LeaseRequest(TypedDict):
    type: Literal["lease"]
    variant_id: int
    user: str
    """Whom the turn belongs to: fairness goes round users."""
    kind: LeaseKind
    request_id: str
    purpose: Purpose
    """`imatrix`: of a worker of its own that reads, and goes with the lease. Without it: `chat`."""


class Load(TypedDict):
    type: Literal["load"]
    variant_id: int
    anyway: bool
    """Before everybody who waits, and busy variants drain for it at once; within the budget all the same."""


class PreviewQuery(TypedDict):
    """Asks what `load` would do now. Answered with `LoadPreviewed`."""

    type: Literal["preview"]
    variant_id: int
    anyway: bool


class Unload(TypedDict):
    """Drains the variant's leases, then ends its worker. A pinned variant is unloaded too: a person asked."""

    type: Literal["unload"]
    variant_id: int
    purpose: Purpose
    """Which of its workers. Without it: `chat`."""


class Pin(TypedDict):
    type: Literal["pin"]
    variant_id: int
    pinned: bool


class ProfileChanged(TypedDict):
    """The hardware profile of this machine was edited: budgets and reserves are read again."""

    type: Literal["profile_changed"]


class StatusQuery(TypedDict):
    type: Literal["status"]


class WatchRequest(TypedDict):
    """Asks for a `HostStatus` now and after every change (at most ten a second)."""

    type: Literal["watch"]


HostRequest = LeaseRequest | Load | PreviewQuery | Unload | Pin | ProfileChanged | StatusQuery | WatchRequest


# host → caller ------------------------------------------------------------------------------------------------


class Queued(TypedDict):
    """`position` counts from 1 = next. Sent whenever position or reason changes."""

    type: Literal["queued"]
    position: int
    reason: Reason


class Evicting(TypedDict):
    type: Literal["evicting"]
    variants: list[ResidentId]
    """Those that leave to make room."""


class LeaseLoading(TypedDict):
    type: Literal["loading"]
    fraction: float


class LeaseReady(TypedDict):
    type: Literal["ready"]
    lease_id: str
    socket: str
    """The worker's Unix socket: talk to it with engine.protocol."""
    mode: Literal["chat", "completion"]
    n_ctx_seq: int


class HostRefused(TypedDict):
    """The request ends here."""

    type: Literal["refused"]
    refusal: Refusal


class Completed(TypedDict):
    """`load`, `unload`, `pin` and `profile_changed` did what was asked."""

    type: Literal["completed"]


class LoadPreviewed(TypedDict):
    """What loading the variant would do now."""

    type: Literal["preview"]
    preview: Preview


class OfResident(TypedDict):
    """What is told of one worker of a variant names it so."""

    variant_id: int
    """The row's."""
    purpose: Purpose


def resident_id_of(row: OfResident) -> ResidentId:
    return ResidentId(row["variant_id"], row["purpose"])


class Mention(OfResident):
    """A variant that a decision is about, as it was called then: it may be renamed or deleted by the time of reading."""

    name: str


class LoggedDecision(TypedDict):
    """One line of the host's log of decisions."""

    number: int
    """Counts from 1 since the host started."""
    at: float
    """Seconds since the epoch."""
    decision: Decision
    mentions: list[Mention]


class ResidentVariant(OfResident):
    name: str
    state: ResidencyState
    pinned: bool
    pid: int | None
    fraction: float | None
    """While loading: 0 to 1."""
    reserved_bytes: int
    """What the budget counts, on all devices together."""
    bytes_by_device: dict[str, int]
    """The same by `ram`, `gpu0`…: expected while it loads, measured from then on; {} without a worker."""
    weights_bytes: int | None
    kv_bytes: int | None
    compute_bytes: int | None
    devices: list[DeviceReport] | None
    """Where these three lie, as the worker measured it; None until it is ready."""
    rss_bytes: int | None
    n_ctx_seq: int
    n_seq_max: int
    slots_busy: int
    leases: int
    queued: int
    tokens_per_second: float
    tokens_total: int
    idle_seconds: float | None
    """Since the last lease ended; None while leased."""
    keep_alive_seconds: float | None
    """None: never unloaded for idleness."""
    mode: Literal["chat", "completion"] | None
    failure: FailureReason | None
    failure_detail: str | None
    failures_in_a_row: int
    load_seconds: float | None
    n_layers: int | None
    n_gpu_layers: int | None
    """Really on GPUs."""
    wanted_gpu_layers: int | None
    """As its worker was told; None: all of them, or there is no worker."""
    type_k: str | None
    type_v: str | None


class WaitingRequest(OfResident):
    request_id: str
    user: str
    variant: str
    """Its name."""
    kind: LeaseKind
    position: int
    wait: Wait
    waiting_seconds: float


class DeviceStatus(TypedDict):
    device: str
    """`ram`, `gpu0`, …"""
    name: str
    capacity_bytes: int
    budget_bytes: int
    """What the owner allows."""
    reserve_bytes: int
    """Kept free."""
    reserved_bytes: int
    """What the ledger holds there for residents."""
    foreign_bytes: int
    """Used by programs that are not ours, when last sampled."""


class HostStatus(TypedDict):
    type: Literal["status"]
    pid: int
    uptime_seconds: float
    budget_bytes: int
    """Of all devices together, like the next."""
    reserved_bytes: int
    devices: list[DeviceStatus]
    residents: list[ResidentVariant]
    """Every variant that isn't absent, failed ones included."""
    queue: list[WaitingRequest]


LeaseEvent = Queued | Evicting | LeaseLoading | LeaseReady | HostRefused
