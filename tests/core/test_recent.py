"""Answers that are remembered for a while."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from inference.web.crossing.recent_values import Recent


def test_the_answers_used_last_are_kept() -> None:
    recent: Recent[str, int] = Recent(2)
    for key in ("a", "b", "a", "c"):
        recent.get(key, lambda: 1)

    assert recent.get("a", lambda: 2) == 1
    assert recent.get("b", lambda: 2) == 2


def test_a_failure_is_not_remembered() -> None:
    recent: Recent[str, int] = Recent(2)

    def fail() -> int:
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        recent.get("a", fail)
    assert recent.get("a", lambda: 1) == 1


def test_two_who_ask_the_same_at_once_wait_for_one_answer() -> None:
    recent: Recent[str, int] = Recent(2)
    asked, may_answer = threading.Event(), threading.Event()
    answers: list[int] = []

    def make() -> int:
        asked.set()
        assert may_answer.wait(10)
        answers.append(len(answers))
        return answers[-1]

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(recent.get, "a", make)
        assert asked.wait(10)
        second = pool.submit(recent.get, "a", make)
        assert recent.get("b", lambda: 7) == 7
        may_answer.set()
        assert (first.result(), second.result()) == (0, 0)
    assert answers == [0]
