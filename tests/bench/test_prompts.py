"""Prompts differ from each other but not in length."""

from __future__ import annotations

from tests.bench.prompts import question, story


def test_a_thousand_prompts_are_all_different_and_equally_long() -> None:
    for make in (story, question):
        prompts = [make(number) for number in range(1000)]
        assert len(set(prompts)) == 1000
        assert len({len(prompt) for prompt in prompts}) == 1


def test_neighbours_differ_in_the_first_digit_already() -> None:
    for number in range(200):
        assert question(number).split()[1][0] != question(number + 1).split()[1][0]
