"""Whoever comes straight back is waited for, for a blink: two people alternating don't cost a swap per answer."""

from __future__ import annotations

import pytest

from inference.core.scheduling import events
from tests.core.scheduler_world import World, ram, variant
from tests.core.simulation import Pace, Person, Simulation, first_come_seconds

MAX_WAIT_SECONDS = 30.0


def two_people(requests: int = 20, think_seconds: float = 0.005) -> tuple[Person, Person]:
    return Person("ann", 1, requests, think_seconds), Person("bob", 2, requests, think_seconds, starts_at=0.01)


def simulate(pace: Pace, *people: Person) -> tuple[Simulation, float]:
    simulation = Simulation((ram(100),), [variant(1, 60), variant(2, 60)], pace, MAX_WAIT_SECONDS)
    return simulation, simulation.run(*people)


@pytest.mark.parametrize(
    ("pace", "share"),
    [
        # Of 28 seconds first-come, 12 are answers that no order can shorten, and two loads are needed: 0.46 is the floor,
        # here and 0.36 in the next. Two swaps more are the price of learning who comes straight back.
        (Pace(load_seconds=0.4, answer_seconds=0.3), 0.5),
        (Pace(load_seconds=0.4, unload_seconds=0.2, answer_seconds=0.3), 0.41),
        (Pace(load_seconds=0.4, answer_seconds=0.15), 0.4),
        (Pace(load_seconds=5.0, unload_seconds=0.2, answer_seconds=1.0), 0.4),
    ],
)
def test_two_people_alternating_take_a_fraction_of_first_come_order(pace: Pace, share: float) -> None:
    people = two_people()
    simulation, seconds = simulate(pace, *people)
    assert seconds <= share * first_come_seconds(pace, *two_people())
    assert simulation.loads <= 4, "one to learn, one to serve, for each"
    waits = [each for person in people for each in person.waits]
    assert len(waits) == 40
    assert max(waits) <= MAX_WAIT_SECONDS + pace.answer_seconds + pace.unload_seconds + pace.load_seconds


def test_the_bound_holds_where_neither_ever_ends() -> None:
    pace = Pace(load_seconds=0.4, unload_seconds=0.1, answer_seconds=0.3)
    people = two_people(requests=400)
    simulation, _ = simulate(pace, *people)
    assert max(people[0].waits + people[1].waits) <= MAX_WAIT_SECONDS + 0.3 + 0.1 + 0.4 + 0.1
    assert simulation.loads <= 14


def test_people_who_read_before_they_ask_again_hold_nobody_up() -> None:
    pace = Pace()
    people = Person("ann", 1, 10, think_seconds=8.0), Person("bob", 2, 1, starts_at=20.0)
    _, _ = simulate(pace, *people)
    swap_seconds = pace.unload_seconds + pace.load_seconds
    assert people[1].waits[0] <= pace.answer_seconds + swap_seconds + 1e-9


def quick_ann(returns: int = 2) -> World:
    """A world in which ann came back to variant 1 within milliseconds, `returns` times, and has just left again."""
    world = World()
    one, _ = world.shelve(variant(1, 60)), world.shelve(variant(2, 60))
    world.load(one)
    world.now += 1.0
    world.ready(one)
    for _ in range(returns + 1):
        ticket = world.ask(one, "ann")
        world.now += 0.3
        world.leave(ticket)
        world.now += 0.01
    return world


def test_a_lone_swap_is_not_delayed_at_all() -> None:
    world = quick_ann(returns=0)
    world.ask(2, "bob")
    assert world.stopping == {1}


def test_a_swap_is_delayed_by_a_blink_and_no_more_when_she_does_not_come_back() -> None:
    world = quick_ann()
    waiting = world.ask(2, "bob")
    assert world.stopping == set()
    assert world.reason(waiting) == "lingering"
    asked_at = world.now
    deadline = world.scheduler.next_deadline()
    assert deadline is not None
    assert deadline - asked_at <= 0.1
    world.wait(0.1)
    assert world.stopping == {1}


def test_she_is_served_at_once_when_she_does_come_back() -> None:
    world = quick_ann()
    world.ask(2, "bob")
    ticket = world.ask(1, "ann")
    assert ticket in world.leases


def test_whoever_stayed_away_for_long_is_not_expected_at_once() -> None:
    world = quick_ann()
    world.now += 600
    ticket = world.ask(1, "ann")
    world.now += 0.3
    world.leave(ticket)
    world.ask(2, "bob")
    assert world.stopping == {1}


def test_the_habits_of_one_do_not_speak_for_another() -> None:
    world = quick_ann()
    world.now += 600
    ticket = world.ask(1, "eve")
    world.now += 0.3
    world.leave(ticket)
    world.ask(2, "bob")
    assert world.stopping == {1}


def test_nobody_lingers_longer_than_a_reload_takes() -> None:
    world = World()
    one, two = world.shelve(variant(1, 60)), world.shelve(variant(2, 60))
    world.load(one)
    world.now += 0.06
    world.ready(one)
    for _ in range(3):
        ticket = world.ask(one, "ann")
        world.leave(ticket)
        world.now += 0.05
    ticket = world.ask(one, "ann")
    world.leave(ticket)
    world.ask(two, "bob")
    deadline = world.scheduler.next_deadline()
    assert deadline is not None
    assert deadline - world.now <= 0.06


def test_other_programs_and_load_anyway_wait_for_no_return() -> None:
    world = quick_ann()
    world.load(2, anyway=True)
    assert world.stopping == {1}
    world = quick_ann()
    world.pools(ram(100, foreign_bytes=950))
    assert world.stopping == {1}


def test_an_overdue_request_waits_for_no_return() -> None:
    world = quick_ann()
    busy = world.ask(1, "ann")
    waiting = world.ask(2, "bob")
    world.now += 29.995
    world.leave(busy)
    assert world.reason(waiting) == "lingering"
    world.wait(0.005)
    assert world.stopping == {1}
    assert world.feed(events.Tick(world.now)) == []
