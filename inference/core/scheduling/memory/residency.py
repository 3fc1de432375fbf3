"""Where one variant stands between absent and resident, and what it holds there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from inference.core.loads.devices import RAM, BytesByDevice, memory_only
from inference.core.loads.options import LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.vocabulary import FailureReason, ResidencyState
from inference.core.loads.ways import LoadWay
from inference.core.scheduling.memory.demand import Demand

Departure = Literal["room", "foreign", "budget", "asked", "idle", "unwanted", "changed", "shutdown"]
"""Why a variant leaves: to make room for another, for programs that are not ours, for a budget that it exceeds, because a
person asked, unused for too long, because whom it was loaded for is done, for new load options, or with the host."""

REVOCABLE: frozenset[Departure] = frozenset({"room", "foreign", "budget"})
"""Whoever drains for one of these stays where the need has passed before the last answer ended."""

LOAD_BYTES_PER_SECOND = 1e9
"""A reload that was never timed: a fast disk, or a page cache and a bus together."""
LEAST_LOAD_SECONDS = 0.05
"""A process must start, whatever the size."""

TRANSITIONS: dict[ResidencyState, frozenset[ResidencyState]] = {
    "absent": frozenset({"loading"}),
    "loading": frozenset({"resident", "unloading", "failed"}),
    "resident": frozenset({"draining", "failed"}),
    # Back to resident: whoever needed the room has left the queue.
    "draining": frozenset({"resident", "unloading", "failed"}),
    "unloading": frozenset({"absent"}),
    "failed": frozenset({"absent", "loading"}),
}

HOLDING: frozenset[ResidencyState] = frozenset({"loading", "resident", "draining", "unloading"})
"""States in which a worker process exists, so its bytes are reserved."""


@dataclass(frozen=True, slots=True)
class VariantFacts:
    """What the host knows of a variant before it loads it."""

    resident_id: ResidentId
    name: str
    path: str
    size_bytes: int
    """All shards together."""
    kv_bytes_per_token: int | None
    """f16 KV cache over all layers; None where the header does not tell."""
    options: LoadOptions
    pinned: bool = False
    keep_alive_seconds: float | None = None
    """Unloaded after this long without a lease. None: never for idleness."""
    fingerprint: str = ""
    """Changes when the file does."""
    load_ways: tuple[LoadWay, ...] = ()
    """Ways to load it, best first, down to ones that need little of a GPU. Empty: only as `options` say."""
    transient: bool = False
    """Loaded for whoever asks and for nobody else: it goes with its last lease or with the last who waited, and a failure is
    told to those who wait and forgotten."""

    @property
    def kv_bytes(self) -> int | None:
        """The KV cache at `options.n_ctx` tokens; None where the header does not tell."""
        if self.kv_bytes_per_token is None:
            return None
        return self.kv_bytes_per_token * self.options.n_ctx

    @property
    def estimate_bytes(self) -> int:
        """File bytes plus KV bytes. An unknown KV cache is left out: unknown never means "does not fit"."""
        return self.size_bytes + (self.kv_bytes or 0)

    @property
    def ways(self) -> tuple[LoadWay, ...]:
        """`load_ways`, or the one way that `options` say, wholly in RAM."""
        return self.load_ways or (LoadWay(self.options, {RAM: self.estimate_bytes}),)

    def loads_like(self, other: VariantFacts) -> bool:
        """Whether a worker started for `other` would do for this: same file, and the owner wants the same.

        Which of the ways was taken doesn't matter: a variant that had to be content with less is not reloaded for that.
        """
        return (self.path, self.fingerprint, self.options) == (other.path, other.fingerprint, other.options)


@dataclass(frozen=True, slots=True)
class Held:
    """What a worker took, by `Pool.device`: altogether, and beyond its buffers."""

    bytes_by_device: BytesByDevice
    overhead_by_device: BytesByDevice


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a worker ended that should not have. `detail` is a sentence for a person."""

    reason: FailureReason
    detail: str

    @property
    def lasting(self) -> bool:
        """Whether trying again at once could only fail the same way (or take the box down again)."""
        return self.reason not in ("killed", "crashed", "hung")


class IllegalTransition(Exception):
    """A residency was asked to skip a state."""

    def __init__(self, resident_id: ResidentId, state: ResidencyState, wanted: ResidencyState) -> None:
        super().__init__(f"resident {resident_id}: {state} → {wanted}")


@dataclass(slots=True)
class Residency:
    """The life of one variant in this host. Written by scheduling.scheduler alone."""

    facts: VariantFacts
    state: ResidencyState = "absent"
    launch: int = 0
    """Number of the current worker, from 1: reports of an earlier one are void."""
    launched_facts: VariantFacts | None = None
    """What the current worker was started with."""
    way: LoadWay | None = None
    """How it was loaded, with the bytes expected then; None in states without a worker."""
    bytes_by_device: BytesByDevice = field(default_factory=dict)
    """What the ledger holds for it: expected; once resident, its buffers as counted and the overhead as expected; and whole
    as measured from when the driver has told."""
    buffers_by_device: BytesByDevice = field(default_factory=dict)
    """As its worker counted them; empty before it is resident."""
    fraction: float | None = None
    n_seq_max: int = 0
    leases: set[int] = field(default_factory=set)
    batch_leases: set[int] = field(default_factory=set)
    """Those of `leases` that are of kind batch."""
    started_at: float = 0.0
    ready_at: float | None = None
    demand: Demand = field(default_factory=Demand)
    load_seconds: float | None = None
    """From the start of its last worker until that was ready."""
    measured: dict[LoadOptions, Held] = field(default_factory=dict)
    """What workers of the present file took, by the options that they were given."""
    departure: Departure | None = None
    """Why it drains or unloads; None in any other state."""
    gave_way_at: float = float("-inf")
    """When it last left to make room: whoever waited for another by then comes first."""
    is_ending: bool = False
    """The worker is about to be gone: it takes no more leases."""
    unload_tickets: set[int] = field(default_factory=set)
    failure: Failure | None = None
    failures_in_a_row: int = 0
    lease_ended: bool = False
    """A lease ended since this worker became ready; its next healthy report proves that the answer did not harm it."""

    @property
    def resident_id(self) -> ResidentId:
        return self.facts.resident_id

    @property
    def holds_bytes(self) -> bool:
        return self.state in HOLDING

    @property
    def reserved_bytes(self) -> int:
        """On all devices together."""
        return sum(memory_only(self.bytes_by_device).values())

    @property
    def used_at(self) -> float:
        return self.demand.used_at

    @property
    def ways(self) -> list[LoadWay]:
        """How it may be loaded, best score first, with measured bytes where there are any."""
        ways = self.facts.ways
        if self.measured:
            ways = tuple(
                replace(each, bytes_by_device=held.bytes_by_device, overhead_by_device=held.overhead_by_device)
                if (held := self.measured.get(each.options))
                else each
                for each in ways
            )
        return sorted(ways, key=lambda each: -each.score)

    @property
    def reload_seconds(self) -> float:
        """What loading it (again) takes: as measured last, else by its bytes."""
        if self.load_seconds is not None:
            return max(LEAST_LOAD_SECONDS, self.load_seconds)
        n_bytes = self.reserved_bytes or sum(self.facts.ways[0].bytes_by_device.values())
        return max(LEAST_LOAD_SECONDS, n_bytes / LOAD_BYTES_PER_SECOND)

    def eviction_cost_seconds(self, now: float) -> float:
        """The seconds of a reload × the likelihood that it is wanted again soon."""
        return self.reload_seconds * self.demand.likelihood(now)

    def become(self, state: ResidencyState, departure: Departure | None = None) -> None:
        """Moves to `state`. Raises IllegalTransition."""
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransition(self.resident_id, self.state, state)
        self.state = state
        self.departure = departure
        if state in ("absent", "failed"):
            self.bytes_by_device = {}
            self.buffers_by_device = {}
            self.way = None
            self.fraction = None
            self.ready_at = None
            self.is_ending = False
            self.launched_facts = None
            self.leases.clear()
            self.batch_leases.clear()

    def takes_leases(self) -> bool:
        return self.state == "resident" and not self.is_ending

    def has_free_slot(self) -> bool:
        return self.takes_leases() and len(self.leases) < self.n_seq_max
