"""Who leaves so that somebody fits: the one place that chooses evictions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resident:
    """A variant that holds bytes and is not already on its way out."""

    variant_id: int
    reserved_bytes: int
    used_at: float
    busy: bool = False
    """Leased, or loading for somebody: it leaves only after draining."""
    pinned: bool = False
    draining: bool = False
    """Already asked to make room: chosen again before others, so that one drain is not exchanged for another."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What must happen before `wanted_bytes` fit. Both empty: they fit as soon as those already leaving are gone."""

    evict: tuple[int, ...] = ()
    """Idle variants, in the order chosen."""
    drain: tuple[int, ...] = ()
    """Busy ones that must finish first. Without them `evict` does not suffice."""


class DoesNotFit(Exception):
    """Not even with every variant gone that may go."""

    def __init__(self, needed_bytes: int, budget_bytes: int, pinned: tuple[int, ...], pinned_bytes: int) -> None:
        super().__init__(f"needs {needed_bytes} bytes of {budget_bytes}, of which {pinned_bytes} are pinned")
        self.needed_bytes = needed_bytes
        self.budget_bytes = budget_bytes
        self.pinned = pinned
        self.pinned_bytes = pinned_bytes


def plan(wanted_bytes: int, residents: Iterable[Resident], budget_bytes: int) -> Plan:
    """The evictions that make `wanted_bytes` fit beside what stays: idle before busy, least recently used first, pinned never.

    Whoever turns out not to be needed, because a later and larger one suffices, is spared. Raises DoesNotFit.
    """
    residents = tuple(residents)
    pinned = tuple(each for each in residents if each.pinned)
    pinned_bytes = sum(each.reserved_bytes for each in pinned)
    if wanted_bytes + pinned_bytes > budget_bytes:
        raise DoesNotFit(wanted_bytes, budget_bytes, tuple(each.variant_id for each in pinned), pinned_bytes)
    candidates = sorted(
        (each for each in residents if not each.pinned),
        key=lambda each: (each.busy, not each.draining, each.used_at, each.variant_id),
    )
    excess_bytes = wanted_bytes + sum(each.reserved_bytes for each in residents) - budget_bytes
    chosen: list[Resident] = []
    for candidate in candidates:
        if excess_bytes <= 0:
            break
        chosen.append(candidate)
        excess_bytes -= candidate.reserved_bytes
    # The most recently used of the chosen have the best claim to be spared, and busy ones before idle ones.
    for candidate in reversed(chosen[:]):
        if candidate.reserved_bytes <= -excess_bytes:
            chosen.remove(candidate)
            excess_bytes += candidate.reserved_bytes
    return Plan(
        evict=tuple(each.variant_id for each in chosen if not each.busy),
        drain=tuple(each.variant_id for each in chosen if each.busy),
    )
