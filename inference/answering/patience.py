"""How long a request waits for a host that does not answer, and how it learns that the host is back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Patience:
    """How a request bears a host that is away. Its place in a host's queue is another matter: it waits there without end."""

    host_away_seconds: float
    """How long it waits for the host to answer again; 0: not at all."""
    retry_seconds: float = 5.0
    """It asks as soon as the host is known to be back, and at the latest after this."""


NO_PATIENCE = Patience(host_away_seconds=0.0)
"""For programs, which have patience of their own and may ask another box meanwhile."""


class HostPresence(Protocol):
    """Knows when the host was reached anew."""

    @property
    def connections(self) -> int:
        """How often the host was reached; grows by one each time."""

    async def next_connection(self, seen: int, timeout_seconds: float) -> None:
        """Returns when `connections` exceeds `seen`, or after the time-out."""


class UnknownPresence:
    """For who has nothing that watches the host: it may be back at any time."""

    connections = 0

    async def next_connection(self, seen: int, timeout_seconds: float) -> None:
        await asyncio.sleep(timeout_seconds)


class Absence:
    """Measures one stretch of time in which the host does not answer against a request's patience."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._since: float | None = None

    def left_seconds(self, now: float) -> float:
        """What is left of the patience at `now`, when the host did not answer (again). 0: none."""
        if self._since is None:
            self._since = now
        return max(0.0, self._since + self._patience.host_away_seconds - now)

    def end(self) -> None:
        """The host answers."""
        self._since = None
