"""Variants that left for other programs' memory or a lowered budget, and come back when that is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.scheduling.memory.ledger import Ledger
from inference.core.scheduling.memory.residency import Departure, Residency

RESTORE_AFTER_SECONDS = 5.0
"""There must have been room for so long: a game that loads a level takes and gives memory within seconds."""


@dataclass(slots=True)
class _Left:
    departure: Departure
    score: float
    """Of the way it was loaded: it comes back as good as it was, or waits."""
    fits_since: float | None = None


class Displaced:
    """Written by scheduling.scheduler alone. People who wait bring a variant back by themselves; this is for the others."""

    def __init__(self) -> None:
        self._left: dict[ResidentId, _Left] = {}

    def __contains__(self, resident_id: ResidentId) -> bool:
        return resident_id in self._left

    def note(self, residency: Residency, departure: Departure) -> None:
        score = residency.way.score if residency.way else 0.0
        self._left[residency.resident_id] = _Left(departure, score)

    def forget(self, resident_id: ResidentId) -> Departure | None:
        """It is loaded again, or shall not be. Returns what it had left for."""
        left = self._left.pop(resident_id, None)
        return left.departure if left else None

    def look(
        self, residencies: Mapping[ResidentId, Residency], ledger: Ledger, now: float
    ) -> tuple[ResidentId, int] | None:
        """(resident id, rank of the way) of one that comes back now: pinned ones first, then those likeliest to be wanted.

        Nobody leaves for it, and beyond its bytes the noise of what others use must be free, so that it isn't sent away again
        for that. Notes since when there has been room. Forgets those that would have left for idleness meanwhile.
        """
        for resident_id in [each for each in self._left if _is_stale(residencies[each], now)]:
            del self._left[resident_id]
        ranks: dict[ResidentId, int] = {}
        for resident_id, left in self._left.items():
            residency = residencies[resident_id]
            rank = _rank_that_fits(residency, left.score, ledger) if residency.state == "absent" else None
            if rank is None:
                left.fits_since = None
                continue
            left.fits_since = now if left.fits_since is None else left.fits_since
            if now >= left.fits_since + RESTORE_AFTER_SECONDS:
                ranks[resident_id] = rank
        if not ranks:
            return None

        def claim(resident_id: ResidentId) -> tuple[bool, float]:
            residency = residencies[resident_id]
            return not residency.facts.pinned, -residency.eviction_cost_seconds(now)

        first = min(ranks, key=claim)
        return first, ranks[first]

    def due_at(self) -> list[float]:
        return [each.fits_since + RESTORE_AFTER_SECONDS for each in self._left.values() if each.fits_since is not None]


def _is_stale(residency: Residency, now: float) -> bool:
    facts = residency.facts
    return (
        not facts.pinned
        and facts.keep_alive_seconds is not None
        and now >= residency.used_at + facts.keep_alive_seconds
    )


def _rank_that_fits(residency: Residency, score: float, ledger: Ledger) -> int | None:
    def fits(way: LoadWay) -> bool:
        return all(
            device in ledger.pools and n_bytes + ledger.pools[device].noise_bytes <= ledger.free(device)
            for device, n_bytes in way.bytes_by_device.items()
            if n_bytes
        )

    return next((rank for rank, way in enumerate(residency.ways) if way.score >= score and fits(way)), None)
