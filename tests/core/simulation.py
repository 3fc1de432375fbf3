"""People who ask, read and ask again, in simulated time: under the scheduler, and under plain first-come order."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from inference.core.loads.resident_id import ResidentId
from inference.core.loads.vocabulary import LeaseKind
from inference.core.scheduling import events
from inference.core.scheduling.memory.ledger import Pool
from inference.core.scheduling.memory.residency import Failure, VariantFacts
from inference.core.scheduling.scheduler import Scheduler


@dataclass
class Person:
    """Sends `requests` requests to one variant, each `think_seconds` after the answer to the one before."""

    name: str
    variant_id: int
    requests: int
    think_seconds: float = 0.005
    starts_at: float = 0.0
    kind: LeaseKind = "interactive"
    waits: list[float] = field(default_factory=list)
    """Seconds from each request to its lease."""


@dataclass
class Pace:
    load_seconds: float = 0.4
    unload_seconds: float = 0.0
    answer_seconds: float = 0.3


class Simulation:
    """Every worker keeps the pace; nothing fails. `run` returns the second in which the last answer ended."""

    def __init__(
        self, pools: tuple[Pool, ...], shelf: list[VariantFacts], pace: Pace, max_wait_seconds: float = 30.0
    ) -> None:
        self.scheduler = Scheduler(pools, max_wait_seconds)
        self.now = 0.0
        self.loads = 0
        self._facts = {each.resident_id.variant_id: each for each in shelf}
        self._pace = pace
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count(1)
        self._tickets: dict[int, tuple[Person, float]] = {}

    def run(self, *people: Person) -> float:
        for person in people:
            self._at(person.starts_at, partial(self._ask, person))
        last_answer_at = 0.0
        while self._due or self._tickets:
            deadline = self.scheduler.next_deadline()
            assert self._due or deadline is not None, "people wait, and nothing will ever happen"
            if deadline is not None and (not self._due or deadline < self._due[0][0]):
                self.now = deadline
                self._feed(events.Tick(deadline))
                continue
            self.now, _, act = heapq.heappop(self._due)
            answering = len(self._tickets)
            act()
            if len(self._tickets) < answering:
                last_answer_at = self.now
        return last_answer_at

    def _at(self, time: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time, next(self._numbers), act))

    def _ask(self, person: Person) -> None:
        ticket = next(self._numbers)
        self._tickets[ticket] = person, self.now
        facts = self._facts[person.variant_id]
        self._feed(events.LeaseAsked(self.now, ticket, facts, person.name, person.kind))

    def _feed(self, event: events.Event) -> None:
        for effect in self.scheduler.handle(event):
            match effect:
                case events.StartWorker(launch=launch, facts=facts):
                    self.loads += 1
                    self._at(self.now + self._pace.load_seconds, self._ready(facts, launch))
                case events.StopWorker(resident_id=resident_id, launch=launch):
                    self._at(self.now + self._pace.unload_seconds, self._ended(resident_id, launch))
                case events.Grant(ticket=ticket):
                    person, asked_at = self._tickets[ticket]
                    person.waits.append(self.now - asked_at)
                    self._at(self.now + self._pace.answer_seconds, self._answered(ticket))
                case events.Refuse():
                    raise AssertionError(f"refused: {effect}")

    def _ready(self, facts: VariantFacts, launch: int) -> Callable[[], None]:
        slots = facts.options.n_seq_max
        return lambda: self._feed(events.WorkerReady(self.now, facts.resident_id, launch, slots, {}))

    def _ended(self, resident_id: ResidentId, launch: int) -> Callable[[], None]:
        gone = Failure("killed", "It was told to go.")
        return lambda: self._feed(events.WorkerEnded(self.now, resident_id, launch, gone))

    def _answered(self, ticket: int) -> Callable[[], None]:
        def act() -> None:
            person, _ = self._tickets.pop(ticket)
            person.requests -= 1
            self._feed(events.Left(self.now, ticket))
            if person.requests:
                self._at(self.now + person.think_seconds, lambda: self._ask(person))

        return act


def first_come_seconds(pace: Pace, *people: Person) -> float:
    """The same people where every request is served in the order of arrival, one variant resident at a time."""
    arrivals = [(person.starts_at, number, person.requests) for number, person in enumerate(people)]
    heapq.heapify(arrivals)
    now, resident = 0.0, None
    while arrivals:
        arrived_at, number, left = heapq.heappop(arrivals)
        now = max(now, arrived_at)
        person = people[number]
        if resident != person.variant_id:
            now += pace.load_seconds + (pace.unload_seconds if resident is not None else 0.0)
            resident = person.variant_id
        now += pace.answer_seconds
        if left > 1:
            heapq.heappush(arrivals, (now + person.think_seconds, number, left - 1))
    return now
