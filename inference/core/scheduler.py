"""The scheduler: events in, effects out. No clock (events carry the time), no I/O, and the only writer of residency.

Its promises:

- no load starts where reservations would exceed a device's budget, or with foreign memory and reserve its capacity
  (core.ledger); where others break that promise, nothing more is loaded there, idle residents leave, busy ones drain;
- at most `n_seq_max` leases per variant; a running answer is never cut by a swap;
- the cheapest residents leave, and none for nothing (core.budget); pinned ones only when a person unloads them;
- of a variant's ways the one is loaded that gives the most (core.choice);
- turns go round people, interactive before batch (core.turns);
- a busy resident cannot starve another variant's queue (core.admission): with S seconds for the longest answer, an unload and
  a load together, nobody waits longer than `max_wait_seconds` + S for each variant whose turn comes before;
- every wait has a position and a reason, told again whenever one changes; every decision is logged with its grounds;
- three failures in a row stop the retries until a person loads the variant or its file or options change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from inference.core import grounds
from inference.core.admission import Admission, Leave, admit, by_variant, relieve
from inference.core.budget import Plan
from inference.core.choice import Choice
from inference.core.displaced import Displaced
from inference.core.events import (
    Complete,
    Decided,
    DecisionKind,
    Effect,
    Event,
    FactsRead,
    Grant,
    LeaseAsked,
    Left,
    LoadAsked,
    Notify,
    PoolsChanged,
    RefusalCode,
    Refuse,
    ShutdownAsked,
    StartWorker,
    StopWorker,
    Tick,
    UnloadAsked,
    Wait,
    WorkerEnded,
    WorkerEnding,
    WorkerHealthy,
    WorkerLoading,
    WorkerMeasured,
    WorkerReady,
)
from inference.core.ledger import BytesByDevice, Ledger, Pool, Shortage
from inference.core.preview import Preview, preview
from inference.core.residency import REVOCABLE, Departure, Held, Residency, VariantFacts
from inference.core.turns import Request, Turns
from inference.core.waits import waits

MOST_FAILURES_IN_A_ROW = 3


class Scheduler:
    """Feed it with `handle`, do what it returns, and send a Tick at `next_deadline`."""

    def __init__(self, pools: Iterable[Pool], max_wait_seconds: float = 30.0) -> None:
        self.ledger = Ledger(pools)
        self.max_wait_seconds = max_wait_seconds
        self.residencies: dict[int, Residency] = {}
        self._turns = Turns(max_wait_seconds)
        self._waiting: dict[int, Request] = {}
        self._leased: dict[int, tuple[Residency, str]] = {}
        """ticket → whose lease, and the user's."""
        self._waits: dict[int, tuple[int, Wait]] = {}
        self._displaced = Displaced()
        self._paused: Mapping[str, Shortage] = {}
        self._launches = 0
        self._closes_at: float | None = None
        self._deadline: float | None = None
        self._effects: list[Effect] = []
        self._refused: set[tuple[int, RefusalCode]] = set()

    # what it shows ------------------------------------------------------------------------------------------------

    @property
    def budget_bytes(self) -> int:
        """Of all devices together."""
        return sum(each.budget_bytes for each in self.ledger.pools.values())

    @property
    def reserved_bytes(self) -> int:
        """On all devices together."""
        return self.ledger.reserved_bytes

    @property
    def is_closed(self) -> bool:
        """Shut down, and no worker is left."""
        return self._closes_at is not None and not any(each.holds_bytes for each in self.residencies.values())

    def waiting(self) -> list[tuple[Request, int, Wait]]:
        """Everybody who waits, with position (from 1) and what for."""
        return [(self._waiting[ticket], position, wait) for ticket, (position, wait) in self._waits.items()]

    def preview(self, facts: VariantFacts, now: float, anyway: bool = False) -> Preview:
        """What a LoadAsked of `facts` would do now. Changes nothing."""
        return preview(
            facts,
            list(self._waiting.values()),
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
        self._effects = []
        self._refused.clear()
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
                self._know(facts)
            case WorkerLoading() | WorkerReady() | WorkerMeasured() | WorkerHealthy() | WorkerEnding() | WorkerEnded():
                residency = self.residencies[event.variant_id]
                if event.launch == residency.launch and residency.holds_bytes:
                    self._worker_reported(residency, event)
            case PoolsChanged(pools=pools):
                self.ledger.set_pools(pools)
            case ShutdownAsked(now=now, drain_seconds=drain_seconds):
                self._closes_at = min(now + drain_seconds, self._closes_at or float("inf"))
            case Tick():
                pass
        self._settle(event.now)
        return self._effects

    def _know(self, facts: VariantFacts) -> Residency:
        residency = self.residencies.setdefault(facts.variant_id, Residency(facts))
        if not facts.loads_like(residency.facts):
            residency.failures_in_a_row = 0
        if (facts.path, facts.fingerprint) != (residency.facts.path, residency.facts.fingerprint):
            residency.measured.clear()
            residency.load_seconds = None
        residency.facts = facts
        return residency

    def _lease_asked(self, event: LeaseAsked) -> None:
        residency = self._know(event.facts)
        request = Request(
            event.ticket, event.facts.variant_id, event.user, event.kind, event.now, event.request_id, "lease"
        )
        residency.use.asked(event.now, event.user)
        if residency.failures_in_a_row >= MOST_FAILURES_IN_A_ROW:
            self._refuse_failed(residency, [request], event.now)
        else:
            self._waiting[event.ticket] = request

    def _load_asked(self, event: LoadAsked) -> None:
        residency = self._know(event.facts)
        residency.failures_in_a_row = 0
        residency.use.began(event.now)
        self._waiting[event.ticket] = Request(
            event.ticket, event.facts.variant_id, "", "interactive", event.now, wants="load", anyway=event.anyway
        )

    def _unload_asked(self, event: UnloadAsked) -> None:
        residency = self.residencies.get(event.variant_id)
        for request in self._requests_for(event.variant_id):
            self._refuse(request, event.now, "unloaded")
        self._displaced.forget(event.variant_id)
        if residency is None or not residency.holds_bytes:
            if residency is not None and residency.state == "failed":
                residency.become("absent")
                residency.failure = None
                residency.failures_in_a_row = 0
            self._effects.append(Complete(event.ticket))
            return
        residency.unload_tickets.add(event.ticket)
        residency.failures_in_a_row = 0
        self._send_away(residency, "asked", event.now)

    def _left(self, event: Left) -> None:
        self._waiting.pop(event.ticket, None)
        self._waits.pop(event.ticket, None)
        leased = self._leased.pop(event.ticket, None)
        if leased is not None:
            residency, user = leased
            residency.leases.discard(event.ticket)
            residency.batch_leases.discard(event.ticket)
            residency.use.ended(event.now, user, residency.reload_seconds)
            residency.lease_ended = True
        for each in self.residencies.values():
            each.unload_tickets.discard(event.ticket)

    def _worker_reported(
        self,
        residency: Residency,
        event: WorkerLoading | WorkerReady | WorkerMeasured | WorkerHealthy | WorkerEnding | WorkerEnded,
    ) -> None:
        match event:
            case WorkerLoading(fraction=fraction):
                if residency.state == "loading":
                    residency.fraction = min(1.0, max(fraction, residency.fraction or 0.0))
            case WorkerReady() if residency.state == "loading":
                self._worker_ready(residency, event)
            case WorkerMeasured(bytes_by_device=bytes_by_device) if residency.state in ("resident", "draining"):
                self._settle_bytes(residency, bytes_by_device)
            case WorkerHealthy():
                if residency.lease_ended:
                    residency.failures_in_a_row = 0
            case WorkerEnding():
                residency.is_ending = True
            case WorkerEnded():
                self._worker_ended(residency, event)

    def _worker_ready(self, residency: Residency, event: WorkerReady) -> None:
        residency.become("resident")
        residency.fraction = None
        residency.ready_at = residency.use.used_at = event.now
        residency.load_seconds = event.now - residency.started_at
        residency.n_seq_max = event.n_seq_max
        residency.failure = None
        assert residency.way is not None
        buffers, overheads = event.buffers_by_device, residency.way.overhead_by_device
        residency.buffers_by_device = buffers
        self._settle_bytes(residency, {device: n + overheads.get(device, 0) for device, n in buffers.items()})

    def _settle_bytes(self, residency: Residency, measured: BytesByDevice) -> None:
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

    def _worker_ended(self, residency: Residency, event: WorkerEnded) -> None:
        was_loading = residency.state == "loading"
        self.ledger.release(residency.launch)
        for ticket in residency.leases:
            del self._leased[ticket]
        if residency.state == "unloading":
            residency.become("absent")
            residency.failure = None
        else:
            residency.become("failed")
            residency.failure = event.failure
            residency.failures_in_a_row += 1
            self._displaced.forget(residency.variant_id)
            self._decide(event.now, "failure", residency.variant_id, **_failure_facts(residency))
            requests = self._requests_for(residency.variant_id)
            if residency.failures_in_a_row >= MOST_FAILURES_IN_A_ROW or (was_loading and event.failure.lasting):
                self._refuse_failed(residency, requests, event.now)
        self._effects.extend(Complete(ticket) for ticket in sorted(residency.unload_tickets))
        residency.unload_tickets.clear()

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
        self._tell(admission, now)
        self._deadline = self._earliest(admission, now)

    def _note_shortages(self, now: float) -> None:
        shortages = self.ledger.shortages
        for kind, ended, begun in (("resume", self._paused, shortages), ("pause", shortages, self._paused)):
            for device, shortage in ended.items():
                if device not in begun:
                    pool = self.ledger.pools.get(device)
                    facts = {"device": pool.name if pool else device, "cause": shortage.cause}
                    self._decide(now, kind, None, **facts, excess_bytes=shortage.excess_bytes)  # type: ignore[arg-type]
        self._paused = shortages

    def _look(self, now: float) -> Admission:
        """Serves who can be served, then judges the rest."""
        for residency in self.residencies.values():
            launched = residency.launched_facts
            if residency.state in ("loading", "resident") and launched and not launched.loads_like(residency.facts):
                self._send_away(residency, "changed", now)
        waiting = list(self._waiting.values())
        if self.ledger.shortages:
            # Before anybody is served: nobody new is sent to a worker that has to leave.
            for variant_id, leave in relieve(waiting, self.residencies, self.ledger, now).items():
                self._send_away(self.residencies[variant_id], leave.departure, now, leave)
        self._serve(now)
        return admit(
            list(self._waiting.values()), self.residencies, self.ledger, self._turns, self.max_wait_seconds, now
        )

    def _step(self, admission: Admission, now: float) -> bool:
        """Does what `admission` allows. True where anything changed, so that another look is due."""
        before = len(self._effects)
        for variant_id, unfit in admission.hopeless.items():
            pool = self.ledger.pools.get(unfit.device)
            for request in self._requests_for(variant_id):
                self._refuse(
                    request,
                    now,
                    "does_not_fit",
                    device=pool.name if pool else unfit.device,
                    needed_bytes=unfit.needed_bytes,
                    budget_bytes=unfit.budget_bytes,
                    pinned_bytes=unfit.pinned_bytes,
                    pinned=list(unfit.pinned),
                    foreign_bytes=unfit.foreign_bytes,
                )
        moved = self._make_room(admission, now)
        for variant_id in admission.start:
            self._start(self.residencies[variant_id], admission.choices[variant_id], now)
        if not admission.blocked and not admission.start:
            self._restore(now)
        for residency in self.residencies.values():
            due = self._idle_until(residency)
            if due is not None and now >= due:
                self._send_away(residency, "idle", now)
            if residency.state == "draining" and not residency.leases:
                self._stop(residency, residency.departure)
        return moved or len(self._effects) > before

    def _serve(self, now: float) -> None:
        for variant_id, requests in by_variant(list(self._waiting.values())).items():
            residency = self.residencies[variant_id]
            if not residency.takes_leases():
                continue
            leases = []
            for request in requests:
                if request.wants == "load":
                    del self._waiting[request.ticket]
                    self._effects.append(Complete(request.ticket))
                else:
                    leases.append(request)
            if not residency.has_free_slot():
                continue
            for request in self._turns.order(leases, now):
                if not residency.has_free_slot():
                    break
                self._grant(residency, request, now)

    def _grant(self, residency: Residency, request: Request, now: float) -> None:
        del self._waiting[request.ticket]
        self._waits.pop(request.ticket, None)
        residency.leases.add(request.ticket)
        if request.kind == "batch":
            residency.batch_leases.add(request.ticket)
        residency.use.began(now)
        self._leased[request.ticket] = residency, request.user
        self._turns.take(request.user)
        self._effects.append(Grant(request.ticket, residency.variant_id, residency.launch))

    def _make_room(self, admission: Admission, now: float) -> bool:
        """Sends away who must go, and lets stay who drained for a need that has passed. True if any moved."""
        moved = False
        for residency in self.residencies.values():
            leave = admission.leave.get(residency.variant_id)
            if leave is not None:
                moved = self._send_away(residency, leave.departure, now, leave) or moved
            elif residency.state == "draining" and residency.departure in REVOCABLE:
                self._decide(now, "stay", residency.variant_id, departure=residency.departure)
                residency.become("resident")
                moved = True
        return moved

    def _send_away(self, residency: Residency, departure: Departure, now: float, leave: Leave | None = None) -> bool:
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
        self._decide(now, kind, residency.variant_id, **grounds.of_leaving(residency, departure, leave, now))
        if residency.state == "loading":
            self._stop(residency, departure)
        elif residency.state == "resident":
            residency.become("draining", departure)
        else:
            residency.departure = departure
        return True

    def _start(self, residency: Residency, choice: Choice, now: float) -> None:
        variant_id = residency.variant_id
        facts = grounds.of_load(residency, choice, len(self._requests_for(variant_id)))
        displaced_for = self._displaced.forget(variant_id)
        if displaced_for is not None:
            facts["departure"] = displaced_for
        self._decide(now, "load" if displaced_for is None else "restore", variant_id, **facts)
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
        self._effects.append(StartWorker(residency.launch, residency.facts, choice.way))

    def _restore(self, now: float) -> None:
        found = self._displaced.look(self.residencies, self.ledger, now)
        if found is not None:
            residency, rank = self.residencies[found[0]], found[1]
            self._start(residency, Choice(residency.ways[rank], rank, Plan(), "lesser" if rank else "best"), now)

    def _stop(self, residency: Residency, departure: Departure | None) -> None:
        if departure in ("foreign", "budget"):
            self._displaced.note(residency, departure)
        residency.become("unloading", departure)
        self._effects.append(StopWorker(residency.variant_id, residency.launch))

    def _close(self, now: float) -> None:
        for request in list(self._waiting.values()):
            self._refuse(request, now, "shutting_down")
        for residency in self.residencies.values():
            self._send_away(residency, "shutdown", now)
            time_is_up = self._closes_at is not None and now >= self._closes_at
            if residency.state == "draining" and (time_is_up or not residency.leases):
                self._stop(residency, "shutdown")

    # refusals and waits -------------------------------------------------------------------------------------------

    def _requests_for(self, variant_id: int) -> list[Request]:
        return [each for each in self._waiting.values() if each.variant_id == variant_id]

    def _decide(self, now: float, kind: DecisionKind, variant_id: int | None, **facts: Any) -> None:
        self._effects.append(Decided(now, kind, variant_id, facts))

    def _refuse(self, request: Request, now: float, code: RefusalCode, **facts: object) -> None:
        self._waiting.pop(request.ticket, None)
        self._waits.pop(request.ticket, None)
        if (request.variant_id, code) not in self._refused:
            # One line for all who hear the same.
            self._refused.add((request.variant_id, code))
            self._decide(now, "refuse", request.variant_id, code=code, **facts)
        self._effects.append(Refuse(request.ticket, request.variant_id, code, facts))

    def _refuse_failed(self, residency: Residency, requests: Iterable[Request], now: float) -> None:
        final = residency.failures_in_a_row >= MOST_FAILURES_IN_A_ROW
        for request in requests:
            self._refuse(request, now, "failed", **_failure_facts(residency), final=final)

    def _tell(self, admission: Admission, now: float) -> None:
        told = waits(list(self._waiting.values()), self.residencies, admission.blocked, self._turns, now)
        for ticket, (_, wait) in told.items():
            before = self._waits.get(ticket)
            if (before is None or before[1] != wait) and self._waiting[ticket].wants == "lease":
                self._effects.append(Notify(ticket, wait))
        self._waits = told

    # time ---------------------------------------------------------------------------------------------------------

    def _idle_until(self, residency: Residency) -> float | None:
        facts = residency.facts
        if residency.state != "resident" or residency.leases or facts.pinned or facts.keep_alive_seconds is None:
            return None
        return residency.used_at + facts.keep_alive_seconds

    def _earliest(self, admission: Admission, now: float) -> float | None:
        due = [*admission.due_at, *self._displaced.due_at()]
        due += [each.arrived_at + self.max_wait_seconds for each in self._waiting.values()]
        due += [until for each in self.residencies.values() if (until := self._idle_until(each)) is not None]
        return min((each for each in due if each > now), default=None)


def _failure_facts(residency: Residency) -> dict[str, Any]:
    failure = residency.failure
    assert failure is not None
    return {
        "reason": failure.reason,
        "detail": failure.detail,
        "failures_in_a_row": residency.failures_in_a_row,
    }
