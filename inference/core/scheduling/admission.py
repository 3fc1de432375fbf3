"""Which of the variants that people wait for may load now, how, and who must leave for them first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.scheduling.fair_turns import FairTurns, Request
from inference.core.scheduling.memory.free_space import FreeSpace
from inference.core.scheduling.memory.ledger import Ledger, Shortage
from inference.core.scheduling.memory.residency import Departure, Residency
from inference.core.scheduling.memory.way_choice import Choice, choose
from inference.core.scheduling.reasons import ForEviction, Reason
from inference.core.scheduling.refusals import DoesNotFit

SHORT_STEP_BYTES = 1 << 28
"""Somebody who waits for other programs is told anew when what is short changes by as much."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Why a resident must go."""

    departure: Departure
    for_resident: ResidentId | None = None
    shortage: Shortage | None = None
    spared: tuple[tuple[ResidentId, float], ...] = ()
    """(resident id, cost in seconds) of the cheapest that stay."""


@dataclass(frozen=True, slots=True)
class Admission:
    """One look at everything that waits. Pure: nothing has been changed yet."""

    start: tuple[ResidentId, ...] = ()
    """Variants that may load at once, as `choices` say."""
    choices: Mapping[ResidentId, Choice] = field(default_factory=dict)
    """How each of the others would be loaded, as far as that can be told now."""
    leave: Mapping[ResidentId, Leave] = field(default_factory=dict)
    """Residents that must go; a busy one drains first, and no other drains for room."""
    hopeless: Mapping[ResidentId, DoesNotFit] = field(default_factory=dict)
    blocked: Mapping[ResidentId, Reason | ForEviction] = field(default_factory=dict)
    """Why each of the others waits, in the order in which they will load."""
    due_at: tuple[float, ...] = ()
    """When a busy or lingering resident's time is up for somebody who waits."""


def by_resident(requests: Sequence[Request]) -> dict[ResidentId, list[Request]]:
    """Variants in the order of their first request."""
    groups: dict[ResidentId, list[Request]] = {}
    for request in requests:
        groups.setdefault(request.resident_id, []).append(request)
    return groups


def admit(
    waiting: Sequence[Request],
    residencies: Mapping[ResidentId, Residency],
    ledger: Ledger,
    turns: FairTurns,
    max_wait_seconds: float,
    now: float,
) -> Admission:
    """Decides, in this order:

    1. Where a device holds more than it should, idle residents leave it, then busy ones.
    2. Loads that a person wants anyway come first; then overdue variants by arrival, or by when they last gave way to
       others, if that was later; the rest as turns go.
    3. What can never fit beside the pinned ones is hopeless; what only other programs keep out waits for them.
    4. Of its ways the one is chosen that gives the most (scheduling.way_choice). What fits into free bytes that nobody ahead has
       claimed starts.
    5. Idle residents leave for it, where that suffices; those whose people come back within moments only after a blink.
    6. Busy ones are asked to drain once the wait, and their own stay, have lasted `max_wait_seconds`
       (at once, where they serve only batch work and somebody waits for an answer, or where a person says so).
    7. Bytes being vacated belong to whom they are vacated for; and past an overdue variant nobody squeezes in.
    """
    look = _Look(waiting, residencies, ledger, max_wait_seconds, now)
    look.relieve(ledger.shortages)
    for resident_id, requests in look.line(turns).items():
        look.judge(resident_id, requests)
    return Admission(tuple(look.start), look.choices, look.leave, look.hopeless, look.blocked, tuple(look.due_at))


def relieve(
    waiting: Sequence[Request], residencies: Mapping[ResidentId, Residency], ledger: Ledger, now: float
) -> Mapping[ResidentId, Leave]:
    """Step 1 of `admit` alone: who must go because a device holds more than it should."""
    look = _Look(waiting, residencies, ledger, 0.0, now)
    look.relieve(ledger.shortages)
    return look.leave


class _Look:
    def __init__(
        self,
        waiting: Sequence[Request],
        residencies: Mapping[ResidentId, Residency],
        ledger: Ledger,
        max_wait_seconds: float,
        now: float,
    ) -> None:
        self.start: list[ResidentId] = []
        self.choices: dict[ResidentId, Choice] = {}
        self.leave: dict[ResidentId, Leave] = {}
        self.hopeless: dict[ResidentId, DoesNotFit] = {}
        self.blocked: dict[ResidentId, Reason | ForEviction] = {}
        self.due_at: list[float] = []
        self._waiting = waiting
        self._wanted_of = by_resident(waiting)
        self._residencies = residencies
        self._max_wait_seconds = max_wait_seconds
        self._now = now
        self._space = FreeSpace(ledger, residencies, self._wanted_of, now)
        self._claimants: list[ResidentId] = []

    def line(self, turns: FairTurns) -> dict[ResidentId, list[Request]]:
        """The variants that must be loaded, in the order in which they may claim bytes, with their requests."""
        absent = [
            each for each in self._waiting if self._residencies[each.resident_id].state not in ("resident", "loading")
        ]
        anyway = [each for each in absent if each.anyway]
        overdue = [each for each in absent if not each.anyway and self._is_overdue(each)]
        overdue.sort(key=self._overdue_since)
        in_time = [each for each in absent if not each.anyway and not self._is_overdue(each)]
        return by_resident(anyway + overdue + turns.order(in_time, self._now))

    def relieve(self, shortages: Mapping[str, Shortage]) -> None:
        if not shortages:
            return
        leaving = self._space.relief(shortages).leaving
        spared = self._space.spared(leaving)
        for resident_id in leaving:
            held = self._residencies[resident_id].bytes_by_device
            shortage = next(each for device, each in shortages.items() if held.get(device))
            self.leave[resident_id] = Leave(shortage.cause, None, shortage, spared)
        self._space.remove(leaving)

    def judge(self, resident_id: ResidentId, requests: Sequence[Request]) -> None:
        residency = self._residencies[resident_id]
        if residency.holds_bytes:
            self.blocked[resident_id] = Reason("leaving", (resident_id,), len(residency.leases))
            return
        ways = residency.ways
        if not self._is_possible(resident_id, ways):
            return
        anyway = any(each.anyway for each in requests)
        overdue = any(self._is_overdue(each) for each in requests)
        choice = choose(ways, self._space, awaits_returns=not (anyway or overdue))
        if choice is None:
            self.blocked[resident_id] = Reason("behind", tuple(self._claimants))
            return
        self.choices[resident_id] = choice
        wanted = choice.way.bytes_by_device
        if choice.plan.drain and not self._may_drain(resident_id, requests, choice.plan.drain, anyway):
            if overdue:
                self._claim(resident_id, choice)
            return
        if choice.plan.leaving:
            spared = self._space.spared(choice.plan.leaving)
            self.leave.update(dict.fromkeys(choice.plan.leaving, Leave("room", resident_id, None, spared)))
            self._space.remove(choice.plan.leaving)
        elif self._space.fits_now(wanted):
            self.start.append(resident_id)
            self._space.start(wanted)
        if resident_id not in self.start and not choice.plan.drain:
            self.blocked[resident_id] = self._leaving()
        self._claim(resident_id, choice)

    def _claim(self, resident_id: ResidentId, choice: Choice) -> None:
        self._space.claim(choice.way.bytes_by_device)
        self._claimants.append(resident_id)

    def _is_overdue(self, request: Request) -> bool:
        return request.is_overdue(self._now, self._max_wait_seconds)

    def _overdue_since(self, request: Request) -> tuple[float, float, int]:
        # A variant that has just left for others had its stay: it would push in before those it left for.
        gave_way_at = self._residencies[request.resident_id].gave_way_at
        return max(request.arrived_at, gave_way_at), request.arrived_at, request.ticket

    def _is_possible(self, resident_id: ResidentId, ways: Sequence[LoadWay]) -> bool:
        """Else it says why not: hopeless, or kept out by other programs for now."""
        if self._space.unfit(ways, foreign=True) is None:
            return True
        kept_out = [each for each in ways if self._space.unfit((each,), foreign=False) is None]
        short = self._space.unfit(kept_out or ways, foreign=bool(kept_out))
        assert short is not None
        if not kept_out:
            self.hopeless[resident_id] = short
            return False
        pool = self._space.pools[short.device]
        short_bytes = short.needed_bytes + short.pinned_bytes - pool.spendable_bytes
        steps = -(-short_bytes // SHORT_STEP_BYTES)
        self.blocked[resident_id] = Reason(
            "foreign", device=short.device, device_name=pool.name, short_bytes=steps * SHORT_STEP_BYTES
        )
        return False

    def _may_drain(
        self, resident_id: ResidentId, requests: Sequence[Request], drain: Sequence[ResidentId], anyway: bool
    ) -> bool:
        """Whether their time is up. Else notes when it will be; either way, what the variant waits for."""
        drained = [self._residencies[each] for each in drain]
        if all(each.state == "resident" and not each.leases for each in drained):
            self.blocked[resident_id] = Reason("lingering", tuple(drain))
        else:
            self.blocked[resident_id] = Reason("room", tuple(drain), sum(len(each.leases) for each in drained))
        dues = [self._now if anyway and each.ready_at is not None else self._due_at(requests, each) for each in drained]
        if None in dues:
            return False
        due = max(each for each in dues if each is not None)
        if due > self._now:
            self.due_at.append(due)
        return due <= self._now

    def _due_at(self, requests: Sequence[Request], busy: Residency) -> float | None:
        """When `busy` must stop taking leases for the sake of `requests`; None while it loads itself."""
        if busy.ready_at is None:
            return None
        arrived_at = min(each.arrived_at for each in requests)
        if not busy.leases:
            return min(busy.demand.expected_back_until, arrived_at + self._max_wait_seconds)
        urgent_there = any(
            each.kind == "interactive" or self._is_overdue(each) for each in self._wanted_of.get(busy.resident_id, ())
        )
        if (
            busy.leases <= busy.batch_leases
            and not urgent_there
            and any(each.kind == "interactive" for each in requests)
        ):
            return self._now
        # Its own stay counts too: two variants in constant demand take turns instead of swapping after every answer.
        return max(arrived_at, busy.ready_at) + self._max_wait_seconds

    def _leaving(self) -> ForEviction:
        going = {each.resident_id for each in self._residencies.values() if each.state in ("draining", "unloading")}
        return ForEviction(tuple(sorted(going | self.leave.keys())))
