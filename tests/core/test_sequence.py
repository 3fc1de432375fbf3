"""Which slot a request takes, what it may reuse, and how much prompt a step carries."""

from __future__ import annotations

from array import array
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.core.decoding.slots import (
    LONE_STEP_SECONDS,
    SHARED_STEP_SECONDS,
    SMALLEST_CHUNK,
    Seat,
    Seating,
    can_rewind,
    choose_seat,
    common_prefix,
    prefill_budget,
    share,
)


def tokens(*values: int) -> array[int]:
    return array("i", values)


def seat(
    index: int, owner: str | None = None, cached: array[int] | None = None, *, busy: bool = False, last_used: float = 0
) -> Seat:
    return Seat(index, owner, tokens() if cached is None else cached, busy, last_used)


PROMPT = tokens(*range(100))


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)), st.integers(0, 3000))
def test_the_common_prefix_ends_at_the_first_difference(left: list[int], right: list[int], shared: int) -> None:
    head = [7] * shared
    expected = shared + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))
    assert common_prefix(array("i", head + left), array("i", head + right)) == expected


def test_the_slot_with_the_owners_longest_prefix_is_taken() -> None:
    seats = [seat(0, "ann", PROMPT[:10]), seat(1, "ann", PROMPT[:50]), seat(2)]
    assert choose_seat(seats, "ann", PROMPT, can_copy=True) == Seating(1, 1, 50)


def test_another_owners_tokens_are_never_matched() -> None:
    seats = [seat(0, "ann", PROMPT[:], last_used=1), seat(1, "bob", tokens(9, 9), last_used=2)]
    assert choose_seat(seats, "bob", PROMPT, can_copy=True) == Seating(0, 0, 0)
    assert choose_seat([seats[0]], "bob", PROMPT, can_copy=True) == Seating(0, 0, 0)


@given(
    st.lists(st.tuples(st.sampled_from(["ann", "bob"]), st.integers(0, 8), st.booleans()), min_size=1, max_size=5),
    st.booleans(),
)
def test_whatever_is_reused_belongs_to_the_asker_and_leaves_a_token_to_evaluate(
    rows: list[tuple[str, int, bool]], can_copy: bool
) -> None:
    prompt = PROMPT[:6]
    seats = [
        seat(index, owner if n else None, PROMPT[:n], busy=busy, last_used=index)
        for index, (owner, n, busy) in enumerate(rows)
    ]
    seating = choose_seat(seats, "ann", prompt, can_copy=can_copy)
    if seating is None:
        assert all(each.busy for each in seats)
        return
    assert not seats[seating.index].busy
    assert 0 <= seating.n_keep < len(prompt)
    if seating.n_keep:
        source = seats[seating.source]
        assert source.owner == "ann"
        assert source.tokens[: seating.n_keep] == prompt[: seating.n_keep]
    if seating.copies:
        assert can_copy
        assert not seats[seating.index].tokens


def test_a_repeated_prompt_leaves_its_last_token_to_evaluate() -> None:
    assert choose_seat([seat(0, "ann", PROMPT[:])], "ann", PROMPT, can_copy=True) == Seating(0, 0, 99)


def test_a_new_conversation_copies_a_short_common_prefix_instead_of_cutting_a_long_one() -> None:
    long = PROMPT[:20] + tokens(*[500] * 60)
    seats = [seat(0, "ann", long), seat(1)]
    assert choose_seat(seats, "ann", PROMPT, can_copy=True) == Seating(1, 0, 20)
    assert choose_seat(seats, "ann", PROMPT, can_copy=False) == Seating(1, 1, 0)
    assert choose_seat(seats[:1], "ann", PROMPT, can_copy=True) == Seating(0, 0, 20), "no empty slot: cut it"


def test_a_busy_slot_of_the_owner_lends_its_prefix() -> None:
    seats = [seat(0, "ann", PROMPT[:40], busy=True), seat(1)]
    assert choose_seat(seats, "ann", PROMPT, can_copy=True) == Seating(1, 0, 40)


def test_without_a_prefix_or_an_empty_slot_the_least_recently_used_goes() -> None:
    seats = [seat(0, "bob", tokens(1), last_used=5), seat(1, "cat", tokens(1), last_used=3)]
    assert choose_seat(seats, "ann", PROMPT, can_copy=True) == Seating(1, 1, 0)


def test_with_every_slot_busy_there_is_no_seat() -> None:
    assert choose_seat([seat(0, "ann", PROMPT[:], busy=True)], "ann", PROMPT, can_copy=True) is None


@pytest.mark.parametrize(
    ("n_keep", "oldest", "n_swa", "possible"),
    [
        (50, 0, 0, True),
        (50, None, 0, False),
        (50, 0, 512, True),
        (1000, 488, 512, True),
        (1000, 489, 512, False),
        (400, 1, 512, False),
    ],
)
def test_a_window_that_has_moved_on_cannot_be_rewound(
    n_keep: int, oldest: int | None, n_swa: int, possible: bool
) -> None:
    assert can_rewind(n_keep, oldest, n_swa) is possible


@given(st.floats(1e-6, 10), st.integers(0, 64), st.integers(65, 4096))
def test_a_prefill_chunk_keeps_to_its_time_and_to_the_batch(seconds: float, n_generating: int, n_batch: int) -> None:
    chunk = prefill_budget(seconds, n_generating=n_generating, n_batch=n_batch)
    assert 1 <= chunk <= n_batch - n_generating
    allowed = SHARED_STEP_SECONDS if n_generating else LONE_STEP_SECONDS
    assert chunk <= max(SMALLEST_CHUNK, allowed / seconds)


def test_the_first_chunk_beside_others_is_small() -> None:
    assert prefill_budget(None, n_generating=3, n_batch=2048) < prefill_budget(None, n_generating=0, n_batch=2048)


@given(st.integers(0, 200), st.lists(st.integers(0, 100), max_size=8))
def test_sharing_hands_out_all_that_is_wanted_and_no_more(budget: int, wants: list[int]) -> None:
    shares = share(budget, wants)
    assert sum(shares) == min(budget, sum(wants))
    assert all(0 <= got <= want for got, want in zip(shares, wants, strict=True))
    unsatisfied = [got for got, want in zip(shares, wants, strict=True) if got < want]
    assert all(got <= min(unsatisfied, default=got) + 1 for got in unsatisfied), "those who want more get the same"
