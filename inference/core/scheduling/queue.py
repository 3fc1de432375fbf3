"""Everybody who waits, and what each was told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.decisions import LoadRefused
from inference.core.scheduling.events import Notify, Refuse
from inference.core.scheduling.fair_turns import Request
from inference.core.scheduling.outbox import Outbox
from inference.core.scheduling.reasons import Wait
from inference.core.scheduling.refusals import Refusal, RefusalKind


class Queue:
    """Written by scheduling.scheduler alone."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._requests: dict[int, Request] = {}
        self._waits: Mapping[int, tuple[int, Wait]] = {}
        self._refused: set[tuple[ResidentId, RefusalKind]] = set()

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def requests(self) -> list[Request]:
        """In the order of arrival."""
        return list(self._requests.values())

    def wanting(self, resident_id: ResidentId) -> list[Request]:
        return [each for each in self._requests.values() if each.resident_id == resident_id]

    def told(self) -> list[tuple[Request, int, Wait]]:
        """Everybody with position (from 1) and what for, as told last."""
        return [
            (self._requests[ticket], position, wait)
            for ticket, (position, wait) in self._waits.items()
            if ticket in self._requests
        ]

    def add(self, request: Request) -> None:
        self._requests[request.ticket] = request

    def drop(self, ticket: int) -> None:
        """Served, refused or gone; nothing where it doesn't wait."""
        self._requests.pop(ticket, None)

    def refuse(self, requests: Iterable[Request], now: float, refusal: Refusal) -> None:
        for request in requests:
            self.drop(request.ticket)
            if (request.resident_id, refusal.kind) not in self._refused:
                # One line for all who hear the same.
                self._refused.add((request.resident_id, refusal.kind))
                self._outbox.decide(now, LoadRefused(request.resident_id, refusal))
            self._outbox.put(Refuse(request.ticket, request.resident_id, refusal))

    def tell(self, waits: Mapping[int, tuple[int, Wait]]) -> None:
        """Notifies everybody who waits for a lease and whose wait has changed."""
        for ticket, (_, wait) in waits.items():
            before = self._waits.get(ticket)
            if (before is None or before[1] != wait) and self._requests[ticket].wants == "lease":
                self._outbox.put(Notify(ticket, wait))
        self._waits = waits

    def forget_refusals(self) -> None:
        """An event is over: the next refusal of a kind is logged again."""
        self._refused.clear()
