"""The scheduler: events in, effects out. No clock (events carry the time), no I/O, and the only writer of residency.

Its promises:

- reservations never exceed the budget by what was known when a load started;
- at most `n_seq_max` leases per variant; a running answer is never cut by a swap;
- pinned variants leave only when a person unloads them;
- turns go round people, interactive before batch (core.turns);
- a busy resident cannot starve another variant's queue (core.admission);
- every wait has a position and a reason, told again whenever one changes;
- three failures in a row stop the retries until a person loads the variant or its file or options change.
"""

from __future__ import annotations

from collections.abc import Iterable

from inference.core.admission import Admission, admit, by_variant
from inference.core.events import (
    Complete,
    Effect,
    Event,
    FactsRead,
    Grant,
    LeaseAsked,
    Left,
    LoadAsked,
    Notify,
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
    WorkerReady,
)
from inference.core.residency import Departure, Residency, VariantFacts
from inference.core.turns import Request, Turns
from inference.core.waits import waits

MOST_FAILURES_IN_A_ROW = 3


class Scheduler:
    """Feed it with `handle`, do what it returns, and send a Tick at `next_deadline`."""

    def __init__(self, budget_bytes: int, max_wait_seconds: float = 30.0) -> None:
        self.budget_bytes = budget_bytes
        self.max_wait_seconds = max_wait_seconds
        self.residencies: dict[int, Residency] = {}
        self._turns = Turns(max_wait_seconds)
        self._waiting: dict[int, Request] = {}
        self._leased: dict[int, Residency] = {}
        self._waits: dict[int, tuple[int, Wait]] = {}
        self._measured: dict[int, tuple[VariantFacts, int]] = {}
        self._launches = 0
        self._closes_at: float | None = None
        self._deadline: float | None = None
        self._effects: list[Effect] = []

    # what it shows ------------------------------------------------------------------------------------------------

    @property
    def reserved_bytes(self) -> int:
        return sum(each.reserved_bytes for each in self.residencies.values())

    @property
    def is_closed(self) -> bool:
        """Shut down, and no worker is left."""
        return self._closes_at is not None and not any(each.holds_bytes for each in self.residencies.values())

    def waiting(self) -> list[tuple[Request, int, Wait]]:
        """Everybody who waits, with position (from 1) and what for."""
        return [(self._waiting[ticket], position, wait) for ticket, (position, wait) in self._waits.items()]

    def next_deadline(self) -> float | None:
        """When a Tick is due; None while only events can change anything."""
        return self._deadline

    # events -------------------------------------------------------------------------------------------------------

    def handle(self, event: Event) -> list[Effect]:
        """What is to be done about `event`, in order."""
        self._effects = []
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
            case WorkerLoading() | WorkerReady() | WorkerHealthy() | WorkerEnding() | WorkerEnded():
                residency = self.residencies[event.variant_id]
                if event.launch == residency.launch and residency.holds_bytes:
                    self._worker_reported(residency, event)
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
        residency.facts = facts
        return residency

    def _lease_asked(self, event: LeaseAsked) -> None:
        residency = self._know(event.facts)
        request = Request(
            event.ticket, event.facts.variant_id, event.user, event.kind, event.now, event.request_id, "lease"
        )
        if residency.failures_in_a_row >= MOST_FAILURES_IN_A_ROW:
            self._refuse_failed(residency, [request])
        else:
            self._waiting[event.ticket] = request

    def _load_asked(self, event: LoadAsked) -> None:
        residency = self._know(event.facts)
        residency.failures_in_a_row = 0
        residency.used_at = max(residency.used_at, event.now)
        self._waiting[event.ticket] = Request(
            event.ticket, event.facts.variant_id, "", "interactive", event.now, wants="load"
        )

    def _unload_asked(self, event: UnloadAsked) -> None:
        residency = self.residencies.get(event.variant_id)
        for request in self._requests_for(event.variant_id):
            self._refuse(request, "unloaded")
        if residency is None or not residency.holds_bytes:
            if residency is not None and residency.state == "failed":
                residency.become("absent")
                residency.failure = None
                residency.failures_in_a_row = 0
            self._effects.append(Complete(event.ticket))
            return
        residency.unload_tickets.add(event.ticket)
        residency.failures_in_a_row = 0
        self._send_away(residency, "asked")

    def _left(self, event: Left) -> None:
        self._waiting.pop(event.ticket, None)
        self._waits.pop(event.ticket, None)
        residency = self._leased.pop(event.ticket, None)
        if residency is not None:
            residency.leases.discard(event.ticket)
            residency.batch_leases.discard(event.ticket)
            residency.used_at = event.now
            residency.lease_ended = True
        for each in self.residencies.values():
            each.unload_tickets.discard(event.ticket)

    def _worker_reported(
        self, residency: Residency, event: WorkerLoading | WorkerReady | WorkerHealthy | WorkerEnding | WorkerEnded
    ) -> None:
        match event:
            case WorkerLoading(fraction=fraction):
                if residency.state == "loading":
                    residency.fraction = min(1.0, max(fraction, residency.fraction or 0.0))
            case WorkerReady() if residency.state == "loading":
                residency.become("resident")
                residency.fraction = None
                residency.ready_at = residency.used_at = event.now
                residency.n_seq_max = event.n_seq_max
                residency.failure = None
                self._measured[residency.variant_id] = (residency.facts, event.measured_bytes)
                others_pinned = sum(
                    each.reserved_bytes
                    for each in self.residencies.values()
                    if each.facts.pinned and each is not residency
                )
                most = max(residency.reserved_bytes, self.budget_bytes - others_pinned)
                residency.reserved_bytes = max(residency.reserved_bytes, min(event.measured_bytes, most))
            case WorkerHealthy():
                if residency.lease_ended:
                    residency.failures_in_a_row = 0
            case WorkerEnding():
                residency.is_ending = True
            case WorkerEnded():
                self._worker_ended(residency, event)

    def _worker_ended(self, residency: Residency, event: WorkerEnded) -> None:
        was_loading = residency.state == "loading"
        for ticket in residency.leases:
            del self._leased[ticket]
        if residency.state == "unloading":
            residency.become("absent")
            residency.failure = None
        else:
            residency.become("failed")
            residency.failure = event.failure
            residency.failures_in_a_row += 1
            requests = self._requests_for(residency.variant_id)
            if residency.failures_in_a_row >= MOST_FAILURES_IN_A_ROW or (was_loading and event.failure.lasting):
                self._refuse_failed(residency, requests)
        self._effects.extend(Complete(ticket) for ticket in sorted(residency.unload_tickets))
        residency.unload_tickets.clear()

    # decisions ----------------------------------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        """Acts on the state as it is now. Calling it twice at the same time changes nothing the second time."""
        if self._closes_at is not None:
            self._close(now)
            self._deadline = None if self.is_closed or now >= self._closes_at else self._closes_at
            return
        while self._step(admission := self._look(now), now):
            pass
        self._tell(admission, now)
        self._deadline = self._earliest(admission, now)

    def _look(self, now: float) -> Admission:
        """Serves who can be served, then judges the rest."""
        for residency in self.residencies.values():
            launched = residency.launched_facts
            if residency.state in ("loading", "resident") and launched and not launched.loads_like(residency.facts):
                self._send_away(residency, "changed")
        self._serve(now)
        return self._admission(now)

    def _step(self, admission: Admission, now: float) -> bool:
        """Does what `admission` allows. True where anything changed, so that another look is due."""
        before = len(self._effects)
        for variant_id, unfit in admission.hopeless.items():
            for request in self._requests_for(variant_id):
                self._refuse(
                    request,
                    "does_not_fit",
                    needed_bytes=unfit.needed_bytes,
                    budget_bytes=unfit.budget_bytes,
                    pinned_bytes=unfit.pinned_bytes,
                    pinned=list(unfit.pinned),
                )
        moved = self._make_room(admission)
        for variant_id, reserved_bytes in admission.start:
            self._start(self.residencies[variant_id], reserved_bytes)
        for residency in self.residencies.values():
            due = self._idle_until(residency)
            if due is not None and now >= due:
                self._send_away(residency, "idle")
            if residency.state == "draining" and not residency.leases:
                self._stop(residency, residency.departure)
        return moved or len(self._effects) > before

    def _admission(self, now: float) -> Admission:
        measured = {
            variant_id: measured_bytes
            for variant_id, (facts, measured_bytes) in self._measured.items()
            if facts.loads_like(self.residencies[variant_id].facts)
        }
        return admit(
            list(self._waiting.values()),
            self.residencies,
            measured,
            self._turns,
            self.budget_bytes,
            self.max_wait_seconds,
            now,
        )

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
        residency.used_at = now
        self._leased[request.ticket] = residency
        self._turns.take(request.user)
        self._effects.append(Grant(request.ticket, residency.variant_id, residency.launch))

    def _make_room(self, admission: Admission) -> bool:
        """Sends away who must go, and lets stay who drained for somebody that no longer needs the room. True if any moved."""
        moved = False
        for residency in self.residencies.values():
            if residency.variant_id in admission.leave:
                moved = self._send_away(residency, "room") or moved
            elif residency.state == "draining" and residency.departure == "room":
                residency.become("resident")
                moved = True
        return moved

    def _send_away(self, residency: Residency, departure: Departure) -> bool:
        if residency.state == "loading":
            self._stop(residency, departure)
        elif residency.state == "resident":
            residency.become("draining", departure)
        elif residency.state == "draining" and residency.departure == "room" != departure:
            residency.departure = departure
        else:
            return False
        return True

    def _start(self, residency: Residency, reserved_bytes: int) -> None:
        self._launches += 1
        residency.become("loading")
        residency.launch = self._launches
        residency.launched_facts = residency.facts
        residency.reserved_bytes = reserved_bytes
        residency.fraction = 0.0
        residency.lease_ended = False
        self._effects.append(StartWorker(residency.launch, residency.facts, reserved_bytes))

    def _stop(self, residency: Residency, departure: Departure | None) -> None:
        residency.become("unloading", departure)
        self._effects.append(StopWorker(residency.variant_id, residency.launch))

    def _close(self, now: float) -> None:
        for request in list(self._waiting.values()):
            self._refuse(request, "shutting_down")
        for residency in self.residencies.values():
            self._send_away(residency, "shutdown")
            time_is_up = self._closes_at is not None and now >= self._closes_at
            if residency.state == "draining" and (time_is_up or not residency.leases):
                self._stop(residency, "shutdown")

    # refusals and waits -------------------------------------------------------------------------------------------

    def _requests_for(self, variant_id: int) -> list[Request]:
        return [each for each in self._waiting.values() if each.variant_id == variant_id]

    def _refuse(self, request: Request, code: RefusalCode, **facts: object) -> None:
        self._waiting.pop(request.ticket, None)
        self._waits.pop(request.ticket, None)
        self._effects.append(Refuse(request.ticket, request.variant_id, code, facts))

    def _refuse_failed(self, residency: Residency, requests: Iterable[Request]) -> None:
        failure = residency.failure
        assert failure is not None
        for request in requests:
            self._refuse(
                request,
                "failed",
                reason=failure.reason,
                detail=failure.detail,
                failures_in_a_row=residency.failures_in_a_row,
                final=residency.failures_in_a_row >= MOST_FAILURES_IN_A_ROW,
            )

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
        due = list(admission.due_at)
        due += [each.arrived_at + self.max_wait_seconds for each in self._waiting.values()]
        due += [until for each in self.residencies.values() if (until := self._idle_until(each)) is not None]
        return min((each for each in due if each > now), default=None)
