"""A worker lives as long as it makes progress, reports, or generates a token when asked."""

from __future__ import annotations

import pytest

from inference.core.monitoring.liveness import Limits, Liveness

LIMITS = Limits(load_seconds=100, step_seconds=50, silence_seconds=60, pong_seconds=20)


@pytest.fixture
def ready() -> Liveness:
    liveness = Liveness(LIMITS, now=0.0)
    liveness.ready(0.0)
    return liveness


def test_a_load_that_stands_still_times_out() -> None:
    liveness = Liveness(LIMITS, now=0.0)
    assert liveness.next_deadline() == 100
    assert liveness.verdict(99.9) is None
    assert liveness.verdict(100.0) == "timed_out"


def test_progress_gives_a_load_more_time_and_repetition_does_not() -> None:
    liveness = Liveness(LIMITS, now=0.0)
    liveness.loading(90.0, 0.1)
    assert liveness.verdict(189.0) is None
    liveness.loading(189.0, 0.1)
    assert liveness.verdict(190.0) == "timed_out"


def test_a_silent_worker_is_asked_for_a_token_once(ready: Liveness) -> None:
    assert not ready.wants_ping(59.9)
    assert ready.wants_ping(60.0)
    ready.pinged(60.0)
    assert not ready.wants_ping(70.0)
    assert ready.next_deadline() == 80.0


def test_no_token_in_time_means_hung(ready: Liveness) -> None:
    ready.pinged(60.0)
    assert ready.verdict(79.9) is None
    assert ready.verdict(80.0) == "hung"


def test_a_token_is_a_proof_of_life(ready: Liveness) -> None:
    ready.pinged(60.0)
    ready.ponged(61.0)
    assert ready.verdict(1000.0) is None
    assert ready.next_deadline() == 121.0


def test_reports_do_not_answer_a_ping(ready: Liveness) -> None:
    ready.pinged(60.0)
    ready.stats(79.0, None)
    assert ready.verdict(80.0) == "hung"


def test_a_decode_step_that_does_not_end_means_hung(ready: Liveness) -> None:
    ready.stats(1.0, 49.9)
    assert ready.verdict(1.0) is None
    ready.stats(2.0, 50.0)
    assert ready.verdict(2.0) == "hung"
