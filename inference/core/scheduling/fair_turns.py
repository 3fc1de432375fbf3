"""Whose turn it is: round people first, interactive before batch, then in the order of arrival."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from inference.core.loads.resident_id import ResidentId
from inference.core.loads.vocabulary import LeaseKind

_MOST_PEOPLE_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody who waits: for a lease, or (`wants="load"`) only for the variant to be resident."""

    ticket: int
    resident_id: ResidentId
    user: str
    kind: LeaseKind
    arrived_at: float
    request_id: str = ""
    wants: Literal["lease", "load"] = "lease"
    anyway: bool = False
    """Of a load: before everybody else, and without courtesy to those who are busy."""

    def is_overdue(self, now: float, max_wait_seconds: float) -> bool:
        return now >= self.arrived_at + max_wait_seconds


class FairTurns:
    """Remembers who was served when, and puts those who wait in the order in which they would be served.

    The person served least recently goes first, so one person's fifty requests delay another's one by a single turn.
    A batch request gives way to every interactive one until it is overdue; from then on it counts as interactive.
    """

    def __init__(self, max_wait_seconds: float) -> None:
        self._max_wait_seconds = max_wait_seconds
        self._last_turn: dict[str, int] = {}
        self._turn = 0

    def take(self, user: str) -> None:
        """`user` is being served now."""
        self._turn += 1
        self._last_turn.pop(user, None)
        self._last_turn[user] = self._turn
        if len(self._last_turn) > _MOST_PEOPLE_REMEMBERED:
            del self._last_turn[next(iter(self._last_turn))]

    def order(self, requests: Iterable[Request], now: float) -> list[Request]:
        """`requests` in serving order, if nobody else arrived. O(n log n)."""
        requests = list(requests)
        if len(requests) < 2:
            return requests
        urgent: dict[str, list[Request]] = {}
        patient: dict[str, list[Request]] = {}
        for request in requests:
            goes_first = request.kind == "interactive" or request.is_overdue(now, self._max_wait_seconds)
            (urgent if goes_first else patient).setdefault(request.user, []).append(request)
        turn = self._turn
        last_turn: dict[str, int] = {}
        ordered: list[Request] = []
        for queues in (urgent, patient):
            heads: list[tuple[int, float, int, str, deque[Request]]] = []
            for user, own in queues.items():
                line = deque(sorted(own, key=lambda each: (each.arrived_at, each.ticket)))
                served = last_turn.get(user, self._last_turn.get(user, 0))
                heads.append((served, line[0].arrived_at, line[0].ticket, user, line))
            heapq.heapify(heads)
            while heads:
                _, _, _, user, line = heads[0]
                ordered.append(line.popleft())
                turn += 1
                last_turn[user] = turn
                if line:
                    heapq.heapreplace(heads, (turn, line[0].arrived_at, line[0].ticket, user, line))
                else:
                    heapq.heappop(heads)
        return ordered
