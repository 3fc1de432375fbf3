"""Who holds a slot of which resident, and who gets the next one."""

from __future__ import annotations

from collections.abc import Mapping

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.admission import by_resident
from inference.core.scheduling.events import Complete, Grant
from inference.core.scheduling.fair_turns import FairTurns, Request
from inference.core.scheduling.memory.residency import Residency
from inference.core.scheduling.outbox import Outbox
from inference.core.scheduling.queue import Queue


class Leases:
    """Written by scheduling.scheduler alone."""

    def __init__(self, queue: Queue, turns: FairTurns, outbox: Outbox) -> None:
        self._queue = queue
        self._turns = turns
        self._outbox = outbox
        self._held: dict[int, tuple[Residency, str]] = {}
        """ticket → whose lease, and the user's."""

    def serve(self, residencies: Mapping[ResidentId, Residency], now: float) -> None:
        """Gives what is free to those who wait, in turn; a wish to have it loaded is fulfilled."""
        for resident_id, requests in by_resident(self._queue.requests).items():
            residency = residencies[resident_id]
            if not residency.takes_leases():
                continue
            waiting = []
            for request in requests:
                if request.wants == "load":
                    self._queue.drop(request.ticket)
                    self._outbox.put(Complete(request.ticket))
                else:
                    waiting.append(request)
            if not residency.has_free_slot():
                continue
            for request in self._turns.order(waiting, now):
                if not residency.has_free_slot():
                    break
                self._grant(residency, request, now)

    def end(self, ticket: int, now: float) -> None:
        """Its holder has left; nothing where it was no lease."""
        held = self._held.pop(ticket, None)
        if held is not None:
            residency, user = held
            residency.leases.discard(ticket)
            residency.batch_leases.discard(ticket)
            residency.demand.ended(now, user, residency.reload_seconds)
            residency.lease_ended = True

    def lose(self, residency: Residency) -> None:
        """Its worker is gone, and all leases with it."""
        for ticket in residency.leases:
            del self._held[ticket]

    def _grant(self, residency: Residency, request: Request, now: float) -> None:
        self._queue.drop(request.ticket)
        residency.leases.add(request.ticket)
        if request.kind == "batch":
            residency.batch_leases.add(request.ticket)
        residency.demand.began(now)
        self._held[request.ticket] = residency, request.user
        self._turns.take(request.user)
        self._outbox.put(Grant(request.ticket, residency.resident_id, residency.launch))
