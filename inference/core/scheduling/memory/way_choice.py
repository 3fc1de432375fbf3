"""Evict or degrade: which of a variant's ways is loaded, and who leaves for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from inference.core.loads.ways import LoadWay
from inference.core.scheduling.memory.eviction import EvictionPlan
from inference.core.scheduling.memory.free_space import FreeSpace

LESSER_SHARE = 0.8
"""A way with so much of the best score is loaded beside the others, where the best one would send somebody away."""
WAITED_SCORE = 2.0
"""A way must be worth so many times what could be had at once before anybody waits for busy residents to finish."""

Why = Literal["best", "lesser", "spares", "waits"]
"""`best`: nothing better was in reach. `lesser`: a better one has no room even when everybody leaves who may, or would not be
worth the wait. `spares`: a better one would have sent somebody away. `waits`: worth more than what could be had at once."""


@dataclass(frozen=True, slots=True)
class Choice:
    way: LoadWay
    rank: int
    """0: the best of all its ways."""
    plan: EvictionPlan
    why: Why


def choose(ways: Sequence[LoadWay], room: FreeSpace, awaits_returns: bool = True) -> Choice | None:
    """The way and the evictions that give the most. `ways` come best score first. None: no way has room for now.

    1. Of the ways that fit once idle residents have left, the one with the best score;
    2. but a way that fits with nobody leaving at all, if its score is at least LESSER_SHARE of that;
    3. and a way for which busy residents must finish first only where nothing else fits, or where it is worth
       WAITED_SCORE times what 1 and 2 give. Such a wait is bounded as any other (scheduling.admission).

    Nobody waits or leaves, and nothing is degraded, unless that gives more; with a single way this is evict-or-wait.
    """
    beside: tuple[int, EvictionPlan] | None = None
    evicting: tuple[int, EvictionPlan] | None = None
    draining: tuple[int, EvictionPlan] | None = None
    for rank, way in enumerate(ways):
        if evicting is not None and way.score < LESSER_SHARE * ways[evicting[0]].score:
            break
        if draining is not None and room.must_drain(way.bytes_by_device, awaits_returns):
            # A better way that must wait is known already, and of these only the best counts.
            continue
        plan = room.plan(way.bytes_by_device, awaits_returns)
        if plan is None:
            continue
        if not plan.leaving:
            beside = rank, plan
            break
        if plan.drain:
            draining = draining or (rank, plan)
        else:
            evicting = evicting or (rank, plan)
    at_once = beside or evicting
    why: Why = "best"
    if draining is not None and (at_once is None or ways[draining[0]].score >= WAITED_SCORE * ways[at_once[0]].score):
        chosen, why = draining, "waits" if at_once is not None else "best"
    elif at_once is not None:
        chosen = at_once
        if beside is not None and evicting is not None:
            why = "spares"
    else:
        return None
    if why == "best" and chosen[0] > 0:
        why = "lesser"
    return Choice(ways[chosen[0]], chosen[0], chosen[1], why)
