"""Every variant that the host has heard of: how each comes, is known by its bytes, and goes."""

from __future__ import annotations

from collections.abc import Iterable

from inference.core.loads.devices import BytesByDevice
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.admission import Leave
from inference.core.scheduling.decisions import (
    Drained,
    Evicted,
    Failed,
    Loaded,
    Restored,
    Spared,
    Stayed,
    Unloaded,
    WentIdle,
)
from inference.core.scheduling.events import (
    Complete,
    StartWorker,
    StopWorker,
    WorkerEnded,
    WorkerLoading,
    WorkerMeasured,
    WorkerReady,
)
from inference.core.scheduling.memory.displaced import Displaced
from inference.core.scheduling.memory.eviction import EvictionPlan
from inference.core.scheduling.memory.ledger import Ledger, Pool
from inference.core.scheduling.memory.residency import REVOCABLE, Departure, Held, Residency, VariantFacts
from inference.core.scheduling.memory.way_choice import Choice
from inference.core.scheduling.outbox import Outbox


class Residencies:
    """Moves residencies from state to state, and the ledger with them. It decides nothing: scheduling.scheduler does."""

    def __init__(self, pools: Iterable[Pool], outbox: Outbox) -> None:
        self.ledger = Ledger(pools)
        self.residencies: dict[ResidentId, Residency] = {}
        self.displaced = Displaced()
        self._outbox = outbox
        self._launches = 0

    @property
    def is_empty(self) -> bool:
        """No worker is left."""
        return not any(each.holds_bytes for each in self.residencies.values())

    def know(self, facts: VariantFacts) -> Residency:
        """The residency of `facts`, which replace what was known."""
        residency = self.residencies.setdefault(facts.resident_id, Residency(facts))
        if not facts.loads_like(residency.facts):
            residency.failures_in_a_row = 0
        if (facts.path, facts.fingerprint) != (residency.facts.path, residency.facts.fingerprint):
            residency.measured.clear()
            residency.load_seconds = None
        residency.facts = facts
        return residency

    # coming and going ---------------------------------------------------------------------------------------------

    def start(self, residency: Residency, choice: Choice, n_waiting: int, now: float) -> None:
        """Loads it as chosen. Raises Overdrawn where that does not fit."""
        resident_id = residency.resident_id
        self._outbox.decide(now, self._loaded(residency, choice, n_waiting, self.displaced.forget(resident_id)))
        self._launches += 1
        self.ledger.reserve(self._launches, choice.way.bytes_by_device)
        residency.become("loading")
        residency.launch = self._launches
        residency.launched_facts = residency.facts
        residency.way = choice.way
        residency.bytes_by_device = self.ledger.held(self._launches)
        residency.started_at = now
        residency.fraction = 0.0
        residency.lease_ended = False
        self._outbox.put(StartWorker(residency.launch, residency.facts, choice.way))

    def restore(self, now: float) -> None:
        """Brings back one that left for other programs or a lowered budget, if its time has come."""
        found = self.displaced.look(self.residencies, self.ledger, now)
        if found is not None:
            residency, rank = self.residencies[found[0]], found[1]
            choice = Choice(residency.ways[rank], rank, EvictionPlan(), "lesser" if rank else "best")
            self.start(residency, choice, 0, now)

    def evict(self, residency: Residency, departure: Departure, now: float, leave: Leave | None = None) -> bool:
        """Drains it, or ends its load at once. False where it is on its way out already."""
        if residency.state not in ("loading", "resident", "draining"):
            return False
        if residency.state == "draining" and (residency.departure not in REVOCABLE or departure in REVOCABLE):
            return False
        self._outbox.decide(now, self._leaving(residency, departure, leave, now))
        if residency.state == "loading":
            self.stop(residency, departure)
        elif residency.state == "resident":
            residency.become("draining", departure)
        else:
            residency.departure = departure
        return True

    def forget_failure(self, residency: Residency) -> None:
        residency.become("absent")
        residency.failure = None
        residency.failures_in_a_row = 0

    def keep(self, residency: Residency, now: float) -> None:
        """The need that it drained for has passed."""
        assert residency.departure is not None
        self._outbox.decide(now, Stayed(residency.resident_id, residency.departure))
        residency.become("resident")

    def stop(self, residency: Residency, departure: Departure | None) -> None:
        if departure in ("foreign", "budget") and not residency.facts.transient:
            self.displaced.note(residency, departure)
        residency.become("unloading", departure)
        self._outbox.put(StopWorker(residency.resident_id, residency.launch))

    # what workers report ------------------------------------------------------------------------------------------

    def loading(self, residency: Residency, event: WorkerLoading) -> None:
        if residency.state == "loading":
            residency.fraction = min(1.0, max(event.fraction, residency.fraction or 0.0))

    def ready(self, residency: Residency, event: WorkerReady) -> None:
        if residency.state != "loading":
            return
        residency.become("resident")
        residency.fraction = None
        residency.ready_at = residency.demand.used_at = event.now
        residency.load_seconds = event.now - residency.started_at
        residency.n_seq_max = event.n_seq_max
        residency.failure = None
        assert residency.way is not None
        buffers, overheads = event.buffers_by_device, residency.way.overhead_by_device
        residency.buffers_by_device = buffers
        self._settle(residency, {device: n + overheads.get(device, 0) for device, n in buffers.items()})

    def measured(self, residency: Residency, event: WorkerMeasured) -> None:
        if residency.state in ("resident", "draining"):
            self._settle(residency, event.bytes_by_device)

    def ended(self, residency: Residency, event: WorkerEnded) -> None:
        self.ledger.release(residency.launch)
        if residency.state == "unloading":
            if residency.departure == "room":
                residency.gave_way_at = event.now
            residency.become("absent")
            residency.failure = None
        else:
            residency.become("failed")
            residency.failure = event.failure
            residency.failures_in_a_row += 1
            self.displaced.forget(residency.resident_id)
            failure = event.failure
            failed = Failed(residency.resident_id, failure.reason, failure.detail, residency.failures_in_a_row)
            self._outbox.decide(event.now, failed)

    def complete_unloads(self, residency: Residency) -> None:
        for ticket in sorted(residency.unload_tickets):
            self._outbox.put(Complete(ticket))
        residency.unload_tickets.clear()

    # what is told of it -------------------------------------------------------------------------------------------

    def _loaded(
        self, residency: Residency, choice: Choice, n_waiting: int, displaced_for: Departure | None
    ) -> Loaded | Restored:
        ways = residency.ways
        facts = (
            residency.resident_id,
            choice.way.options,
            self.ledger.named(choice.way.bytes_by_device),
            choice.rank,
            len(ways),
            choice.way.score,
            ways[0].score,
            choice.why,
            n_waiting,
            residency.reload_seconds,
        )
        return Loaded(*facts) if displaced_for is None else Restored(*facts, displaced_for)

    def _leaving(
        self, residency: Residency, departure: Departure, leave: Leave | None, now: float
    ) -> Evicted | Drained | WentIdle | Unloaded:
        is_busy = bool(residency.leases) or residency.state == "loading"
        idle_seconds = None if is_busy else max(0.0, now - residency.used_at)
        if departure == "idle":
            return WentIdle(residency.resident_id, idle_seconds or 0.0)
        if leave is None:
            return Unloaded(residency.resident_id, departure)
        shortage = leave.shortage
        facts = (
            residency.resident_id,
            departure,
            dict(residency.bytes_by_device),
            idle_seconds,
            len(residency.leases),
            leave.for_resident,
            residency.reload_seconds,
            residency.demand.likelihood(now),
            residency.eviction_cost_seconds(now),
            tuple(Spared(*each) for each in leave.spared),
            None if shortage is None else shortage.device,
            None if shortage is None else self.ledger.name(shortage.device),
            None if shortage is None else shortage.excess_bytes,
        )
        return Drained(*facts) if residency.leases else Evicted(*facts)

    def _settle(self, residency: Residency, measured: BytesByDevice) -> None:
        if not measured:
            return
        assert residency.way is not None
        self.ledger.settle(residency.launch, measured)
        held, expected = self.ledger.held(residency.launch), residency.way.overhead_by_device
        residency.bytes_by_device = held
        beyond = {
            device: max(0, n_bytes - residency.buffers_by_device.get(device, n_bytes - expected.get(device, 0)))
            for device, n_bytes in held.items()
        }
        residency.measured[residency.way.options] = Held(held, beyond)
