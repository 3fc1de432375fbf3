"""What is new of jobs' logs, where lines may turn up out of turn."""

from __future__ import annotations

from inference.web.jobs.line_tail import LATE_SECONDS, LineTail


def test_a_gap_is_looked_at_until_nothing_can_come_of_it() -> None:
    tail = LineTail(after=10, seen=[12], now=0.0)
    tail.tell([13], 1.0)
    assert (tail.after, set(tail.seen)) == (10, {12, 13})
    tail.tell([11], LATE_SECONDS)
    assert (tail.after, set(tail.seen)) == (12, {13})
    tail.tell([], LATE_SECONDS + 1.0)
    assert (tail.after, set(tail.seen)) == (13, set())


def test_what_turned_up_late_does_not_hold_back_what_came_before() -> None:
    tail = LineTail(after=0, seen=[], now=0.0)
    tail.tell([5], 0.0)
    tail.tell([2], LATE_SECONDS - 1)
    tail.tell([], LATE_SECONDS)
    assert (tail.after, set(tail.seen)) == (5, set())
