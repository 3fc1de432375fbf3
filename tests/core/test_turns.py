"""Turns go round people, interactive before batch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.core.loads.resident_id import ResidentId
from inference.core.loads.vocabulary import LeaseKind
from inference.core.scheduling.fair_turns import FairTurns, Request


def request(ticket: int, user: str, kind: LeaseKind = "interactive", arrived_at: float = 0.0) -> Request:
    return Request(ticket, ResidentId(1), user, kind, arrived_at)


def tickets(turns: FairTurns, requests: list[Request], now: float = 0.0) -> list[int]:
    return [each.ticket for each in turns.order(requests, now)]


def test_one_person_is_served_in_the_order_of_arrival() -> None:
    requests = [request(2, "ann", arrived_at=2), request(1, "ann", arrived_at=1)]
    assert tickets(FairTurns(30), requests) == [1, 2]


def test_fifty_requests_of_one_person_delay_another_by_one_turn() -> None:
    turns = FairTurns(30)
    turns.take("ann")
    many = [request(ticket, "ann", arrived_at=ticket) for ticket in range(1, 51)]
    assert tickets(turns, [*many, request(99, "bob", arrived_at=60)])[0] == 99
    turns.take("bob")
    assert tickets(turns, [*many, request(100, "bob", arrived_at=70)])[:2] == [1, 100]


def test_interactive_goes_before_batch() -> None:
    assert tickets(FairTurns(30), [request(1, "ann", "batch"), request(2, "ann", arrived_at=9)]) == [2, 1]


def test_overdue_batch_counts_as_interactive() -> None:
    requests = [request(1, "ann", "batch"), request(2, "bob", arrived_at=9)]
    assert tickets(FairTurns(30), requests, now=29.9) == [2, 1]
    assert tickets(FairTurns(30), requests, now=30.0) == [1, 2]


users = st.sampled_from(["ann", "bob", "eve", "joe"])
kinds: st.SearchStrategy[LeaseKind] = st.sampled_from(["interactive", "batch"])
queue = st.lists(st.tuples(users, kinds, st.integers(0, 40)), max_size=20)


@given(queue, st.lists(users, max_size=6))
def test_the_order_shown_is_the_order_served(queue: list[tuple[str, LeaseKind, int]], served: list[str]) -> None:
    turns = FairTurns(30)
    for user in served:
        turns.take(user)
    waiting = [request(ticket, user, kind, at) for ticket, (user, kind, at) in enumerate(queue)]
    shown = tickets(turns, waiting, now=50)
    actual = []
    while waiting:
        first = turns.order(waiting, 50)[0]
        turns.take(first.user)
        waiting.remove(first)
        actual.append(first.ticket)
    assert shown == actual


@given(st.lists(users, min_size=1, max_size=30))
def test_nobody_is_served_twice_while_somebody_waits_unserved(queue: list[str]) -> None:
    order = FairTurns(30).order([request(ticket, user) for ticket, user in enumerate(queue)], 0)
    people = len(set(queue))
    assert {each.user for each in order[:people]} == set(queue)
