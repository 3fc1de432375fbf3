"""What counts as generation at so many requests at once."""

from __future__ import annotations

import pytest

from tests.bench.streams import Answer
from tests.bench.throughput import NotComparable, generation_rate


def answer(*counts: tuple[float, int]) -> Answer:
    return Answer(counts=counts, n_prompt=1, n_cached=0, text="")


def test_the_rate_of_one_answer_counts_from_its_first_piece() -> None:
    assert generation_rate([answer((3.0, 1), (5.0, 21))]) == 10.0


def test_the_rate_of_several_counts_only_while_all_are_being_generated() -> None:
    early = answer((1.0, 1), (2.0, 2), (4.0, 22), (5.0, 32))
    late = answer((2.0, 1), (6.0, 41))
    # From 2 to 5 s: 30 tokens of the first, 30 of the second.
    assert generation_rate([early, late]) == pytest.approx(20.0)


def test_answers_that_do_not_overlap_have_no_common_rate() -> None:
    with pytest.raises(NotComparable):
        generation_rate([answer((1.0, 1), (2.0, 9)), answer((3.0, 1), (4.0, 9))])
