"""Which of the variants that people wait for may load now, and who must leave for them first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from inference.core import budget
from inference.core.events import ForEviction, Reason
from inference.core.residency import Residency
from inference.core.turns import Request, Turns


@dataclass(frozen=True, slots=True)
class Admission:
    """One look at everything that waits. Pure: nothing has been changed yet."""

    start: tuple[tuple[int, int], ...] = ()
    """(variant id, bytes to reserve) of those that may load at once."""
    leave: frozenset[int] = frozenset()
    """Residents that must go; a busy one drains first, and no other drains for room."""
    hopeless: Mapping[int, budget.DoesNotFit] = field(default_factory=dict)
    blocked: Mapping[int, Reason | ForEviction] = field(default_factory=dict)
    """Why each of the others waits, in the order in which they will load."""
    due_at: tuple[float, ...] = ()
    """When a busy resident's time is up for somebody who waits."""


def by_variant(requests: Sequence[Request]) -> dict[int, list[Request]]:
    """Variants in the order of their first request."""
    groups: dict[int, list[Request]] = {}
    for request in requests:
        groups.setdefault(request.variant_id, []).append(request)
    return groups


def admit(
    waiting: Sequence[Request],
    residencies: Mapping[int, Residency],
    measured_bytes: Mapping[int, int],
    turns: Turns,
    budget_bytes: int,
    max_wait_seconds: float,
    now: float,
) -> Admission:
    """Decides, in this order:

    1. Overdue variants come first, by arrival; the rest as turns go.
    2. What can never fit beside the pinned ones is hopeless.
    3. What fits into free bytes that nobody ahead has claimed starts.
    4. Idle residents leave for it, where that suffices.
    5. Busy ones are asked to drain once the wait, and their own stay, have lasted `max_wait_seconds`
       (at once, where they serve only batch work and somebody waits for an answer).
    6. Bytes being vacated belong to whom they are vacated for; and past an overdue variant nobody squeezes in.
    """
    absent = [each for each in waiting if residencies[each.variant_id].state not in ("resident", "loading")]
    overdue = sorted(
        (each for each in absent if each.is_overdue(now, max_wait_seconds)),
        key=lambda each: (each.arrived_at, each.ticket),
    )
    in_time = (each for each in absent if not each.is_overdue(now, max_wait_seconds))
    groups = by_variant(overdue + turns.order(in_time, now))
    wanted_of = by_variant(waiting)

    holding = {each.variant_id: each for each in residencies.values() if each.holds_bytes}
    pinned_bytes = sum(each.reserved_bytes for each in holding.values() if each.facts.pinned)
    reserved_bytes = sum(each.reserved_bytes for each in holding.values())
    staying = {
        variant_id: each
        for variant_id, each in holding.items()
        if each.state in ("loading", "resident") or (each.state == "draining" and each.departure == "room")
    }
    claimed_bytes = 0
    claimants: list[int] = []
    start: list[tuple[int, int]] = []
    leave: set[int] = set()
    hopeless: dict[int, budget.DoesNotFit] = {}
    blocked: dict[int, Reason | ForEviction] = {}
    due_at: list[float] = []

    def candidates() -> list[budget.Resident]:
        return [
            budget.Resident(
                variant_id=each.variant_id,
                reserved_bytes=each.reserved_bytes,
                used_at=each.used_at,
                busy=bool(each.leases) or (each.state == "loading" and each.variant_id in wanted_of),
                pinned=each.facts.pinned,
                draining=each.state == "draining",
            )
            for each in staying.values()
        ]

    def take_out(plan: budget.Plan) -> None:
        for variant_id in plan.evict + plan.drain:
            leave.add(variant_id)
            del staying[variant_id]

    # A worker may have measured more than was estimated: the others make room for what is already there.
    if sum(each.reserved_bytes for each in staying.values()) > budget_bytes:
        try:
            trim = budget.plan(0, candidates(), budget_bytes)
        except budget.DoesNotFit:
            trim = budget.Plan()
        if all(staying[each].state != "loading" for each in trim.drain):
            take_out(trim)

    for variant_id, requests in groups.items():
        residency = residencies[variant_id]
        estimate_bytes = residency.facts.estimate_bytes
        if estimate_bytes + pinned_bytes > budget_bytes and not residency.holds_bytes:
            pinned = tuple(each.variant_id for each in holding.values() if each.facts.pinned)
            hopeless[variant_id] = budget.DoesNotFit(estimate_bytes, budget_bytes, pinned, pinned_bytes)
            continue
        if residency.holds_bytes:
            blocked[variant_id] = Reason("leaving", (variant_id,), len(residency.leases))
            continue
        # What was measured last time counts, but never turns a variant away that loaded before.
        needed_bytes = max(estimate_bytes, min(measured_bytes.get(variant_id, 0), budget_bytes - pinned_bytes))
        staying_bytes = sum(each.reserved_bytes for each in staying.values())
        if needed_bytes + staying_bytes + claimed_bytes <= budget_bytes:
            if needed_bytes + reserved_bytes <= budget_bytes:
                start.append((variant_id, needed_bytes))
                reserved_bytes += needed_bytes
            else:
                blocked[variant_id] = _leaving(residencies, leave)
            claimed_bytes += needed_bytes
            claimants.append(variant_id)
            continue
        try:
            plan = budget.plan(needed_bytes, candidates(), budget_bytes - claimed_bytes)
        except budget.DoesNotFit:
            blocked[variant_id] = Reason("behind", tuple(claimants))
            continue
        if plan.drain:
            drained = [residencies[each] for each in plan.drain]
            blocked[variant_id] = Reason("room", plan.drain, sum(len(each.leases) for each in drained))
            dues = [_due_at(requests, each, wanted_of, max_wait_seconds, now) for each in drained]
            due = None if None in dues else max(each for each in dues if each is not None)
            if due is not None and due > now:
                due_at.append(due)
            if due is None or due > now:
                if any(each.is_overdue(now, max_wait_seconds) for each in requests):
                    claimed_bytes += needed_bytes
                    claimants.append(variant_id)
                continue
        take_out(plan)
        if not plan.drain:
            blocked[variant_id] = _leaving(residencies, leave)
        claimed_bytes += needed_bytes
        claimants.append(variant_id)
    return Admission(tuple(start), frozenset(leave), hopeless, blocked, tuple(due_at))


def _due_at(
    requests: Sequence[Request],
    busy: Residency,
    wanted_of: Mapping[int, Sequence[Request]],
    max_wait_seconds: float,
    now: float,
) -> float | None:
    """When `busy` must stop taking leases for the sake of `requests`; None while it loads itself."""
    if busy.ready_at is None:
        return None
    urgent_there = any(
        each.kind == "interactive" or each.is_overdue(now, max_wait_seconds)
        for each in wanted_of.get(busy.variant_id, ())
    )
    if busy.leases <= busy.batch_leases and not urgent_there and any(each.kind == "interactive" for each in requests):
        return now
    # Its own stay counts too: two variants in constant demand take turns instead of swapping after every answer.
    return max(min(each.arrived_at for each in requests), busy.ready_at) + max_wait_seconds


def _leaving(residencies: Mapping[int, Residency], leave: set[int]) -> ForEviction:
    going = {each.variant_id for each in residencies.values() if each.state in ("draining", "unloading")}
    return ForEviction(tuple(sorted(going | leave)))
