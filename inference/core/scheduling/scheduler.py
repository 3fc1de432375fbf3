"""The scheduler: events in, effects out. No clock (events carry the time), no I/O, and the only writer of residency.

Its promises:

- no load starts where reservations would exceed a device's budget, or with foreign memory and reserve its capacity
  (scheduling.ledger); where others break that promise, nothing more is loaded there, idle residents leave, busy ones drain;
- at most `n_seq_max` leases per variant; a running answer is never cut by a swap;
- the cheapest residents leave, and none for nothing (scheduling.eviction); pinned ones only when a person unloads them;
- of a variant's ways the one is loaded that gives the most (scheduling.way_choice);
- turns go round people, interactive before batch (scheduling.fair_turns);
- a busy resident cannot starve another variant's queue (scheduling.admission): with S seconds for the longest answer, an unload and
  a load together, nobody waits longer than `max_wait_seconds` + S for each variant that others want, once more for one's own,
  and two answers for each other person in one's own line;
- every wait has a position and a reason, told again whenever one changes; every decision is logged with its grounds;
- a transient variant goes with its last lease, and is not loaded to the end when nobody waits for it any more;
- three failures in a row stop the retries until a person loads the variant or its file or options change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.admission import Admission, admit, relieve
from inference.core.scheduling.decisions import LoadingPaused, LoadingResumed
from inference.core.scheduling.events import (
    Complete,
    Effect,
    Event,
    FactsRead,
    LeaseAsked,
    Left,
    LoadAsked,
    PoolsChanged,
    ShutdownAsked,
    Tick,
    UnloadAsked,
    WorkerEnded,
    WorkerEnding,
    WorkerHealthy,
    WorkerLoading,
    WorkerMeasured,
    WorkerReady,
)
from inference.core.scheduling.fair_turns import FairTurns, Request
from inference.core.scheduling.leases import Leases
from inference.core.scheduling.memory.ledger import Ledger, Pool, Shortage
from inference.core.scheduling.memory.residencies import Residencies
from inference.core.scheduling.memory.residency import REVOCABLE, Residency, VariantFacts
from inference.core.scheduling.outbox import Outbox
from inference.core.scheduling.preview import Preview, preview
from inference.core.scheduling.queue import Queue
from inference.core.scheduling.reasons import Wait
from inference.core.scheduling.refusals import DoesNotFit, FailedToLoad, ShuttingDown, UnloadedMeanwhile
from inference.core.scheduling.waits import waits

MOST_FAILURES_IN_A_ROW = 3

WorkerEvent = WorkerLoading | WorkerReady | WorkerMeasured | WorkerHealthy | WorkerEnding | WorkerEnded


class Scheduler:
    """Feed it with `handle`, do what it returns, and send a Tick at `next_deadline`."""

    def __init__(self, pools: Iterable[Pool], max_wait_seconds: float = 30.0) -> None:
        self.max_wait_seconds = max_wait_seconds
        self._outbox = Outbox()
        self._residencies = Residencies(pools, self._outbox)
        self._queue = Queue(self._outbox)
        self._turns = FairTurns(max_wait_seconds)
        self._leases = Leases(self._queue, self._turns, self._outbox)
        self._paused: Mapping[str, Shortage] = {}
        self._closes_at: float | None = None
        self._deadline: float | None = None

    # what it shows ------------------------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        return self._residencies.ledger

    @property
    def residencies(self) -> Mapping[ResidentId, Residency]:
        """Of every variant that was ever heard of, by id."""
        return self._residencies.residencies

    @property
    def budget_bytes(self) -> int:
        """Of all devices together."""
        return sum(each.budget_bytes for each in self.ledger.pools.values() if each.kind == "memory")

    @property
    def reserved_bytes(self) -> int:
        """On all devices together."""
        return self.ledger.reserved_bytes

    @property
    def is_closed(self) -> bool:
        """Shut down, and no worker is left."""
        return self._closes_at is not None and self._residencies.is_empty

    def waiting(self) -> list[tuple[Request, int, Wait]]:
        """Everybody who waits, with position (from 1) and what for."""
        return self._queue.told()

    def preview(self, facts: VariantFacts, now: float, anyway: bool = False) -> Preview:
        """What a LoadAsked of `facts` would do now. Changes nothing."""
        return preview(
            facts,
            self._queue.requests,
            self.residencies,
            self.ledger,
            self._turns,
            self.max_wait_seconds,
            now,
            anyway,
        )

    def next_deadline(self) -> float | None:
        """When a Tick is due; None while only events can change anything."""
        return self._deadline

    # events -------------------------------------------------------------------------------------------------------

    def handle(self, event: Event) -> list[Effect]:
        """What is to be done about `event`, in order."""
        match event:
            case LeaseAsked():
                self._lease_asked(event)
            case LoadAsked():
                self._load_asked(event)
            case UnloadAsked():
                self._unload_asked(event)
            case Left():
                self._left(event)
            case FactsRead(facts=facts):
                self._residencies.know(facts)
            case WorkerLoading() | WorkerReady() | WorkerMeasured() | WorkerHealthy() | WorkerEnding() | WorkerEnded():
                residency = self.residencies[event.resident_id]
                if event.launch == residency.launch and residency.holds_bytes:
                    self._worker_reported(residency, event)
            case PoolsChanged(pools=pools):
                self.ledger.set_pools(pools)
            case ShutdownAsked(now=now, drain_seconds=drain_seconds):
                self._closes_at = min(now + drain_seconds, self._closes_at or float("inf"))
            case Tick():
                pass
        self._settle(event.now)
        self._queue.forget_refusals()
        return self._outbox.empty()

    def _lease_asked(self, event: LeaseAsked) -> None:
        residency = self._residencies.know(event.facts)
        request = Request(
            event.ticket, event.facts.resident_id, event.user, event.kind, event.now, event.request_id, "lease"
        )
        residency.demand.asked(event.now, event.user)
        if residency.failures_in_a_row >= MOST_FAILURES_IN_A_ROW:
            self._refuse_failed(residency, [request], event.now)
        else:
            self._queue.add(request)

    def _load_asked(self, event: LoadAsked) -> None:
        residency = self._residencies.know(event.facts)
        residency.failures_in_a_row = 0
        residency.demand.began(event.now)
        self._queue.add(
            Request(
                event.ticket, event.facts.resident_id, "", "interactive", event.now, wants="load", anyway=event.anyway
            )
        )

    def _unload_asked(self, event: UnloadAsked) -> None:
        residency = self.residencies.get(event.resident_id)
        self._queue.refuse(self._queue.wanting(event.resident_id), event.now, UnloadedMeanwhile())
        self._residencies.displaced.forget(event.resident_id)
        if residency is None or not residency.holds_bytes:
            if residency is not None and residency.state == "failed":
                self._residencies.forget_failure(residency)
            self._outbox.put(Complete(event.ticket))
            return
        residency.unload_tickets.add(event.ticket)
        residency.failures_in_a_row = 0
        self._residencies.evict(residency, "asked", event.now)

    def _left(self, event: Left) -> None:
        self._queue.drop(event.ticket)
        self._leases.end(event.ticket, event.now)
        for each in self.residencies.values():
            each.unload_tickets.discard(event.ticket)

    def _worker_reported(self, residency: Residency, event: WorkerEvent) -> None:
        match event:
            case WorkerLoading():
                self._residencies.loading(residency, event)
            case WorkerReady():
                self._residencies.ready(residency, event)
            case WorkerMeasured():
                self._residencies.measured(residency, event)
            case WorkerHealthy():
                if residency.lease_ended:
                    residency.failures_in_a_row = 0
            case WorkerEnding():
                residency.is_ending = True
            case WorkerEnded():
                self._worker_ended(residency, event)

    def _worker_ended(self, residency: Residency, event: WorkerEnded) -> None:
        was_loading = residency.state == "loading"
        self._leases.lose(residency)
        self._residencies.ended(residency, event)
        if residency.state == "failed" and (
            residency.failures_in_a_row >= MOST_FAILURES_IN_A_ROW or (was_loading and event.failure.lasting)
        ):
            self._refuse_failed(residency, self._queue.wanting(residency.resident_id), event.now)
        self._residencies.complete_unloads(residency)

    # decisions ----------------------------------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        """Acts on the state as it is now. Calling it twice at the same time changes nothing the second time."""
        self._note_shortages(now)
        if self._closes_at is not None:
            self._close(now)
            self._deadline = None if self.is_closed or now >= self._closes_at else self._closes_at
            return
        while self._step(admission := self._look(now), now):
            pass
        self._queue.tell(waits(self._queue.requests, self.residencies, admission.blocked, self._turns, now))
        self._deadline = self._earliest(admission, now)

    def _note_shortages(self, now: float) -> None:
        shortages = self.ledger.shortages
        for decision, ended, begun in (
            (LoadingResumed, self._paused, shortages),
            (LoadingPaused, shortages, self._paused),
        ):
            for device, shortage in ended.items():
                if device not in begun:
                    name = self.ledger.name(device)
                    self._outbox.decide(now, decision(device, name, shortage.excess_bytes, shortage.cause))
        self._paused = shortages

    def _look(self, now: float) -> Admission:
        """Serves who can be served, then judges the rest."""
        for residency in self.residencies.values():
            launched = residency.launched_facts
            if residency.state in ("loading", "resident") and launched and not launched.loads_like(residency.facts):
                self._residencies.evict(residency, "changed", now)
        if self.ledger.shortages:
            # Before anybody is served: nobody new is sent to a worker that has to leave.
            for resident_id, leave in relieve(self._queue.requests, self.residencies, self.ledger, now).items():
                self._residencies.evict(self.residencies[resident_id], leave.departure, now, leave)
        self._leases.serve(self.residencies, now)
        return admit(self._queue.requests, self.residencies, self.ledger, self._turns, self.max_wait_seconds, now)

    def _step(self, admission: Admission, now: float) -> bool:
        """Does what `admission` allows. True where anything changed, so that another look is due."""
        before = len(self._outbox)
        for resident_id, unfit in admission.hopeless.items():
            self._refuse_unfit(resident_id, unfit, now)
        moved = self._make_room(admission, now)
        for resident_id in admission.start:
            n_waiting = len(self._queue.wanting(resident_id))
            self._residencies.start(self.residencies[resident_id], admission.choices[resident_id], n_waiting, now)
        if not admission.blocked and not admission.start:
            self._residencies.restore(now)
        for residency in self.residencies.values():
            due = _idle_until(residency)
            if due is not None and now >= due:
                self._residencies.evict(residency, "idle", now)
            if residency.facts.transient and not self._queue.wanting(residency.resident_id):
                self._forsake(residency, now)
            if residency.state == "draining" and not residency.leases:
                self._residencies.stop(residency, residency.departure)
        return moved or len(self._outbox) > before

    def _forsake(self, residency: Residency, now: float) -> None:
        """Nobody waits for a transient one (any more)."""
        if residency.state in ("loading", "resident") and not residency.leases:
            self._residencies.evict(residency, "unwanted", now)
        elif residency.state == "failed":
            self._residencies.forget_failure(residency)

    def _make_room(self, admission: Admission, now: float) -> bool:
        """Sends away who must go, and lets stay who drained for a need that has passed. True if any moved."""
        moved = False
        for residency in self.residencies.values():
            leave = admission.leave.get(residency.resident_id)
            if leave is not None:
                moved = self._residencies.evict(residency, leave.departure, now, leave) or moved
            elif residency.state == "draining" and residency.departure in REVOCABLE:
                self._residencies.keep(residency, now)
                moved = True
        return moved

    def _close(self, now: float) -> None:
        self._queue.refuse(self._queue.requests, now, ShuttingDown())
        for residency in self.residencies.values():
            self._residencies.evict(residency, "shutdown", now)
            time_is_up = self._closes_at is not None and now >= self._closes_at
            if residency.state == "draining" and (time_is_up or not residency.leases):
                self._residencies.stop(residency, "shutdown")

    # refusals -----------------------------------------------------------------------------------------------------

    def _refuse_failed(self, residency: Residency, requests: Iterable[Request], now: float) -> None:
        final = residency.failures_in_a_row >= MOST_FAILURES_IN_A_ROW
        failure = residency.failure
        assert failure is not None
        refusal = FailedToLoad(failure.reason, failure.detail, residency.failures_in_a_row, final)
        self._queue.refuse(requests, now, refusal)

    def _refuse_unfit(self, resident_id: ResidentId, unfit: DoesNotFit, now: float) -> None:
        self._queue.refuse(self._queue.wanting(resident_id), now, unfit)

    # time ---------------------------------------------------------------------------------------------------------

    def _earliest(self, admission: Admission, now: float) -> float | None:
        due = [*admission.due_at, *self._residencies.displaced.due_at()]
        due += [each.arrived_at + self.max_wait_seconds for each in self._queue.requests]
        due += [until for each in self.residencies.values() if (until := _idle_until(each)) is not None]
        return min((each for each in due if each > now), default=None)


def _idle_until(residency: Residency) -> float | None:
    facts = residency.facts
    if residency.state != "resident" or residency.leases or facts.pinned or facts.keep_alive_seconds is None:
        return None
    return residency.used_at + facts.keep_alive_seconds
