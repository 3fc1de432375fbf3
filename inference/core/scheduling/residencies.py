"""Every variant that the host has heard of: how each comes, is known by its bytes, and goes."""

from __future__ import annotations

from collections.abc import Iterable

from inference.core.loads.devices import BytesByDevice
from inference.core.scheduling import decision_facts
from inference.core.scheduling.admission import Leave
from inference.core.scheduling.displaced import Displaced
from inference.core.scheduling.events import (
    Complete,
    DecisionKind,
    StartWorker,
    StopWorker,
    WorkerEnded,
    WorkerLoading,
    WorkerMeasured,
    WorkerReady,
)
from inference.core.scheduling.eviction import Plan
from inference.core.scheduling.ledger import Ledger, Pool
from inference.core.scheduling.outbox import Outbox
from inference.core.scheduling.residency import REVOCABLE, Departure, Held, Residency, VariantFacts
from inference.core.scheduling.way_choice import Choice


class Household:
    """Moves residencies from state to state, and the ledger with them. It decides nothing: core.scheduler does."""

    def __init__(self, pools: Iterable[Pool], outbox: Outbox) -> None:
        self.ledger = Ledger(pools)
        self.residencies: dict[int, Residency] = {}
        self.displaced = Displaced()
        self._outbox = outbox
        self._launches = 0

    @property
    def is_empty(self) -> bool:
        """No worker is left."""
        return not any(each.holds_bytes for each in self.residencies.values())

    def know(self, facts: VariantFacts) -> Residency:
        """The residency of `facts`, which replace what was known."""
        residency = self.residencies.setdefault(facts.variant_id, Residency(facts))
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
        variant_id = residency.variant_id
        facts = decision_facts.of_load(residency, choice, n_waiting)
        displaced_for = self.displaced.forget(variant_id)
        if displaced_for is not None:
            facts["departure"] = displaced_for
        self._outbox.decide(now, "load" if displaced_for is None else "restore", variant_id, **facts)
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
            choice = Choice(residency.ways[rank], rank, Plan(), "lesser" if rank else "best")
            self.start(residency, choice, 0, now)

    def send_away(self, residency: Residency, departure: Departure, now: float, leave: Leave | None = None) -> bool:
        """Drains it, or ends its load at once. False where it is on its way out already."""
        if residency.state not in ("loading", "resident", "draining"):
            return False
        if residency.state == "draining" and (residency.departure not in REVOCABLE or departure in REVOCABLE):
            return False
        kind: DecisionKind = "unload"
        if departure == "idle":
            kind = "idle"
        elif departure in REVOCABLE:
            kind = "drain" if residency.leases else "evict"
        leaving = decision_facts.of_leaving(residency, departure, leave, now)
        self._outbox.decide(now, kind, residency.variant_id, **leaving)
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

    def let_stay(self, residency: Residency, now: float) -> None:
        """The need that it drained for has passed."""
        self._outbox.decide(now, "stay", residency.variant_id, departure=residency.departure)
        residency.become("resident")

    def stop(self, residency: Residency, departure: Departure | None) -> None:
        if departure in ("foreign", "budget") and not residency.facts.transient:
            self.displaced.note(residency, departure)
        residency.become("unloading", departure)
        self._outbox.put(StopWorker(residency.variant_id, residency.launch))

    # what workers report ------------------------------------------------------------------------------------------

    def loading(self, residency: Residency, event: WorkerLoading) -> None:
        if residency.state == "loading":
            residency.fraction = min(1.0, max(event.fraction, residency.fraction or 0.0))

    def ready(self, residency: Residency, event: WorkerReady) -> None:
        if residency.state != "loading":
            return
        residency.become("resident")
        residency.fraction = None
        residency.ready_at = residency.use.used_at = event.now
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
            self.displaced.forget(residency.variant_id)
            self._outbox.decide(event.now, "failure", residency.variant_id, **decision_facts.of_failure(residency))

    def complete_unloads(self, residency: Residency) -> None:
        for ticket in sorted(residency.unload_tickets):
            self._outbox.put(Complete(ticket))
        residency.unload_tickets.clear()

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
