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
    SlotChoice,
    SlotView,
    can_rewind,
    choose_slot,
    common_prefix,
    prefill_budget,
    share,
)


def tokens(*values: int) -> array[int]:
    return array("i", values)


def slot(
    index: int, owner: str | None = None, cached: array[int] | None = None, *, busy: bool = False, last_used: float = 0
) -> SlotView:
    return SlotView(index, owner, tokens() if cached is None else cached, busy, last_used)


PROMPT = tokens(*range(100))


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)), st.integers(0, 3000))
def test_the_common_prefix_ends_at_the_first_difference(left: list[int], right: list[int], shared: int) -> None:
    head = [7] * shared
    expected = shared + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))
    assert common_prefix(array("i", head + left), array("i", head + right)) == expected


def test_the_slot_with_the_owners_longest_prefix_is_taken() -> None:
    slots = [slot(0, "ann", PROMPT[:10]), slot(1, "ann", PROMPT[:50]), slot(2)]
    assert choose_slot(slots, "ann", PROMPT, can_copy=True) == SlotChoice(1, 1, 50)


def test_another_owners_tokens_are_never_matched() -> None:
    slots = [slot(0, "ann", PROMPT[:], last_used=1), slot(1, "bob", tokens(9, 9), last_used=2)]
    assert choose_slot(slots, "bob", PROMPT, can_copy=True) == SlotChoice(0, 0, 0)
    assert choose_slot([slots[0]], "bob", PROMPT, can_copy=True) == SlotChoice(0, 0, 0)


@given(
    st.lists(st.tuples(st.sampled_from(["ann", "bob"]), st.integers(0, 8), st.booleans()), min_size=1, max_size=5),
    st.booleans(),
)
def test_whatever_is_reused_belongs_to_the_asker_and_leaves_a_token_to_evaluate(
    rows: list[tuple[str, int, bool]], can_copy: bool
) -> None:
    prompt = PROMPT[:6]
    slots = [
        slot(index, owner if n else None, PROMPT[:n], busy=busy, last_used=index)
        for index, (owner, n, busy) in enumerate(rows)
    ]
    choice = choose_slot(slots, "ann", prompt, can_copy=can_copy)
    if choice is None:
        assert all(each.busy for each in slots)
        return
    assert not slots[choice.index].busy
    assert 0 <= choice.n_keep < len(prompt)
    if choice.n_keep:
        source = slots[choice.source]
        assert source.owner == "ann"
        assert source.tokens[: choice.n_keep] == prompt[: choice.n_keep]
    if choice.copies:
        assert can_copy
        assert not slots[choice.index].tokens


def test_a_repeated_prompt_leaves_its_last_token_to_evaluate() -> None:
    assert choose_slot([slot(0, "ann", PROMPT[:])], "ann", PROMPT, can_copy=True) == SlotChoice(0, 0, 99)


def test_a_new_conversation_copies_a_short_common_prefix_instead_of_cutting_a_long_one() -> None:
    long = PROMPT[:20] + tokens(*[500] * 60)
    slots = [slot(0, "ann", long), slot(1)]
    assert choose_slot(slots, "ann", PROMPT, can_copy=True) == SlotChoice(1, 0, 20)
    assert choose_slot(slots, "ann", PROMPT, can_copy=False) == SlotChoice(1, 1, 0)
    assert choose_slot(slots[:1], "ann", PROMPT, can_copy=True) == SlotChoice(0, 0, 20), "no empty slot: cut it"


def test_a_busy_slot_of_the_owner_lends_its_prefix() -> None:
    slots = [slot(0, "ann", PROMPT[:40], busy=True), slot(1)]
    assert choose_slot(slots, "ann", PROMPT, can_copy=True) == SlotChoice(1, 0, 40)


def test_without_a_prefix_or_an_empty_slot_the_least_recently_used_goes() -> None:
    slots = [slot(0, "bob", tokens(1), last_used=5), slot(1, "cat", tokens(1), last_used=3)]
    assert choose_slot(slots, "ann", PROMPT, can_copy=True) == SlotChoice(1, 1, 0)


def test_with_every_slot_busy_there_is_no_choice() -> None:
    assert choose_slot([slot(0, "ann", PROMPT[:], busy=True)], "ann", PROMPT, can_copy=True) is None


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
