"""`kill -9` of any process of a whole box at random moments of jobs of every kind, of several or all at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kills.orders import AT_ONCE, WITH_WORKERS
from tests.kills.rounds import SEED, kill_at_random

pytestmark = pytest.mark.live

ROUNDS = int(os.environ.get("KILL_ROUNDS", "8"))
MANY = 20
"""Rounds from which on measuring and importance matrices are met, too."""


@pytest.mark.timeout(300 + 8 * ROUNDS)
def test_a_box_that_is_killed_lists_nothing_corrupt_leaves_nothing_over_and_loses_no_job(
    starter_path: Path, tmp_path: Path
) -> None:
    kinds = AT_ONCE if ROUNDS < MANY else {**AT_ONCE, **WITH_WORKERS}
    told = kill_at_random(ROUNDS, SEED, tmp_path, kinds)
    print(told.to_json())
    assert told.wrong == []
    assert told.rounds == ROUNDS
    assert told.unfinished == []
    assert told.not_listed == []
    assert told.left == []
    assert told.scan == {}
    assert not told.second_writers
    met = told.under_way["download"] + told.under_way["requantize"]
    assert met > ROUNDS / 2, "the kills came too early or too late to prove anything"
    assert set(told.done) == set(kinds)
    assert bool(told.matrix_chunks) is ("imatrix" in kinds)
