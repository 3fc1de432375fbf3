"""What the host says and hears on its Unix socket (`settings.HOST_SOCKET`): newline-delimited JSON, framed by engine.protocol.

One connection carries one request. `lease` and `watch` keep it open: the open connection *is* the lease, and closing it gives
the lease back (or leaves the queue) at once.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from inference.core.loads.purposes import Purpose
from inference.core.scheduling.events import ReasonKind
from inference.engine.protocol import DeviceReport, FailureReason

LeaseKind = Literal["interactive", "batch"]
Residency = Literal["absent", "loading", "resident", "draining", "unloading", "failed"]


# caller → host ------------------------------------------------------------------------------------------------


class Lease(TypedDict):
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
    """Asks what `load` would do now. Answered with `LoadPreview`."""

    type: Literal["preview"]
    variant_id: int
    anyway: bool


class Unload(TypedDict):
    """Drains the variant's leases, then ends its worker. A pinned variant is unloaded too: a person asked."""

    type: Literal["unload"]
    variant_id: int


class Pin(TypedDict):
    type: Literal["pin"]
    variant_id: int
    pinned: bool


class ProfileChanged(TypedDict):
    """The hardware profile of this machine was edited: budgets and reserves are read again."""

    type: Literal["profile_changed"]


class StatusQuery(TypedDict):
    type: Literal["status"]


class Watch(TypedDict):
    """Asks for a `HostStatus` now and after every change (at most ten a second)."""

    type: Literal["watch"]


HostRequest = Lease | Load | PreviewQuery | Unload | Pin | ProfileChanged | StatusQuery | Watch


# host → caller ------------------------------------------------------------------------------------------------


class Mention(TypedDict):
    """A variant that a sentence names, as it names it."""

    variant_id: int
    """As of a ResidentVariant."""
    name: str


class WaitReason(TypedDict):
    """core.events.Reason."""

    kind: ReasonKind
    variants: list[int]
    answers: int
    device: str | None
    short_bytes: int | None


class Queued(TypedDict):
    """`position` counts from 1 = next. Sent whenever position or reason changes."""

    type: Literal["queued"]
    position: int
    reason: str
    """A sentence for the person who waits: what for, and whose turn it is."""
    why: WaitReason
    """The same as facts."""
    mentions: list[Mention]


class Evicting(TypedDict):
    type: Literal["evicting"]
    variants: list[str]
    """Names of the variants that leave to make room."""
    mentions: list[Mention]


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


RefusalReason = Literal[
    "unknown_variant", "does_not_fit", "failed", "unloaded", "bad_message", "shutting_down", "disabled", "storage"
]


class HostRefused(TypedDict):
    """The request ends here."""

    type: Literal["refused"]
    code: RefusalReason
    detail: str
    """What happened and what to do next."""
    facts: dict[str, Any]
    """does_not_fit: device, needed_bytes, budget_bytes, pinned_bytes, pinned, foreign_bytes;
    failed: reason (a FailureReason), failures_in_a_row"""
    mentions: list[Mention]
    """By `detail`."""


class Completed(TypedDict):
    """`load`, `unload`, `pin` and `profile_changed` did what was asked."""

    type: Literal["completed"]


class LeavingVariant(TypedDict):
    """A resident that would have to go."""

    variant_id: int
    name: str
    bytes_by_device: dict[str, int]
    idle_seconds: float | None
    """None: it is answering or loading."""
    answers: int
    reload_seconds: float
    likelihood: float
    """Of being wanted again within ten minutes, 0 to 1."""


class LoadPreview(TypedDict):
    """What loading the variant would do now."""

    type: Literal["preview"]
    variant_id: int
    name: str
    outcome: Literal["resident", "loading", "fits", "evicts", "waits", "cannot"]
    sentence: str
    options: dict[str, Any] | None
    """Of the way that would be taken; None where that can't be told yet."""
    bytes_by_device: dict[str, int] | None
    is_degraded: bool
    """A way that is worth more exists."""
    best_options: dict[str, Any]
    evicts: list[LeavingVariant]
    waits_for: list[LeavingVariant]
    load_seconds: float | None
    """About, from the moment that there is room."""
    unfit: dict[str, Any] | None
    """As in a refusal with code does_not_fit."""


class Decision(TypedDict):
    """One line of the host's log of decisions."""

    number: int
    """Counts from 1 since the host started."""
    at: float
    """Seconds since the epoch."""
    kind: str
    """core.events.DecisionKind"""
    variant_id: int | None
    variant: str | None
    sentence: str
    mentions: list[Mention]
    facts: dict[str, Any]
    """By kind: core.events.Decided."""


class ResidentVariant(TypedDict):
    variant_id: int
    """core.purposes.resident_id: of a worker that reads it is no row's."""
    name: str
    purpose: Purpose
    state: Residency
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


class WaitingRequest(TypedDict):
    request_id: str
    user: str
    variant_id: int
    """As of a ResidentVariant."""
    variant: str
    """Its name."""
    kind: LeaseKind
    position: int
    reason: str
    mentions: list[Mention]
    """By `reason`."""
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
