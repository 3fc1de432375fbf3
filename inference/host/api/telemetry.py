"""What the host streams about itself: `telemetry` on its socket. Browsers get it worded for whoever looks, as
inference.web.dashboard.frames.

First one `Backlog`, then a `Delta` a second. Each carries the whole present state, which is small, and what only grows
(samples, decisions) as far as it is new. Nothing here names a request or shows what anybody wrote.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from inference.core.loads.purposes import Purpose
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.vocabulary import LeaseKind, ResidencyState
from inference.core.monitoring.alarms import Alarm
from inference.core.scheduling.decisions import DecisionKind
from inference.core.scheduling.reasons import Wait
from inference.host.api.messages import LoggedDecision, OfResident

SegmentKind = Literal["weights", "kv", "compute", "overhead", "reserved", "foreign", "reserve", "free"]


class TelemetryQuery(TypedDict):
    """Asks for a Backlog now and a Delta every second, until either side closes."""

    type: Literal["telemetry"]


class Segment(TypedDict):
    """A part of a device's memory. The segments of a device add up to its capacity, or to more where it is overfull."""

    kind: SegmentKind
    """`overhead`: held beyond the buffers, such as a CUDA context. `reserved`: held in the ledger, not yet measured."""
    variant_id: int | None
    """Whose it is; None for foreign, reserve and free."""
    purpose: Purpose | None
    bytes: int


def resident_id_if_any(row: Segment | DecidedCount) -> ResidentId | None:
    """None: nobody's."""
    variant_id, purpose = row["variant_id"], row["purpose"]
    return None if variant_id is None or purpose is None else ResidentId(variant_id, purpose)


class DeviceTelemetry(TypedDict):
    """One pool of memory. None: not known at this moment."""

    device: str
    """`ram`, `gpu0`, `gpu1`…"""
    name: str
    capacity_bytes: int
    budget_bytes: int
    reserve_bytes: int
    used_bytes: int | None
    """By everybody."""
    foreign_bytes: int | None
    """By programs that are not ours."""
    utilisation_percent: float | None
    """Of a GPU: time in which it computed. Of the RAM: the processor cores' busy share."""
    bandwidth_percent: float | None
    """Time in which a GPU's memory was read or written."""
    temperature_celsius: int | None
    power_watts: float | None
    swap_in_bytes_per_second: float | None
    swap_out_bytes_per_second: float | None
    segments: list[Segment]
    """In the order of the bar: residents, foreign, reserve, free."""


class VariantState(OfResident):
    """A variant that is not absent, failed ones included, in figures."""

    name: str
    state: ResidencyState
    pinned: bool
    fraction: float | None
    reserved_bytes: int
    slots_busy: int
    n_seq_max: int
    queued: int
    tokens_per_second: float
    tokens_total: int
    idle_seconds: float | None
    keep_alive_seconds: float | None
    n_ctx_seq: int
    n_layers: int | None
    n_gpu_layers: int | None
    """Really on GPUs."""
    wanted_gpu_layers: int | None
    """As its worker was told; None: all of them."""
    type_k: str | None
    type_v: str | None
    mode: Literal["chat", "completion"] | None
    failure_detail: str | None
    load_seconds: float | None


class VariantTelemetry(VariantState):
    alarm: Alarm | None
    """None while nothing is wrong."""


class QueuePlace(OfResident):
    position: int
    user: str
    """The person's id, for marking one's own entry."""
    variant: str
    """Its name."""
    kind: LeaseKind
    waiting_seconds: float


class QueueEntry(QueuePlace):
    wait: Wait


class DecidedCount(TypedDict):
    """How often the host decided so since it started: evictions and failures among them, for /metrics."""

    kind: DecisionKind
    variant_id: int | None
    purpose: Purpose | None
    variant: str | None
    """As it was called when it was last counted."""
    n: int


class Sample(TypedDict):
    """The figures of every frame."""

    number: int
    """Of the sample, counting up; a gap means that deltas were missed."""
    pid: int
    uptime_seconds: float
    devices: list[DeviceTelemetry]


class BacklogFigures(Sample):
    """The figures of a backlog."""

    type: Literal["backlog"]
    at: list[float]
    """Seconds since 1970 of each sample kept, oldest first: up to ten minutes."""
    series: dict[str, list[float | None]]
    """`gpu0.used_bytes`, `ram.utilisation_percent`, `variant.7.tokens_per_second`, `variant.7.imatrix.tokens_per_second`…, each as long as `at`."""


class Step(Sample):
    """The figures of a delta."""

    type: Literal["delta"]
    at: float
    figures: dict[str, float | None]
    """This sample's row of `series`."""


class Backlog(BacklogFigures):
    variants: list[VariantTelemetry]
    queue: list[QueueEntry]
    decisions: list[LoggedDecision]
    decided: list[DecidedCount]


class Delta(Step):
    variants: list[VariantTelemetry]
    queue: list[QueueEntry]
    decisions: list[LoggedDecision]
    """Those since the last frame."""


TelemetryFrame = Backlog | Delta
