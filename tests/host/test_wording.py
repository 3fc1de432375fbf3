"""The host's sentences say what, why and what to do."""

from __future__ import annotations

import pytest

from inference.core.scheduling.events import ForEviction, ForLoading, InQueue, Reason, Refuse
from inference.wording import waits_and_refusals

NAMES = {1: "one", 2: "two", 3: "three"}


@pytest.mark.parametrize(
    ("why", "position", "sentence"),
    [
        (Reason("slots", (1,)), 1, "All slots of one are busy; you are next."),
        (Reason("slots", (1,)), 2, "All slots of one are busy; 1 goes first."),
        (Reason("slots", (1,)), 4, "All slots of one are busy; 3 go first."),
        (Reason("room", (1,), 1), 1, "Waiting for one to finish its running answer and make room; you are next."),
        (
            Reason("room", (1, 2, 3), 4),
            1,
            "Waiting for one, two and three to finish 4 running answers and make room; you are next.",
        ),
        (Reason("room", (1,), 0), 1, "Waiting for one to make room; you are next."),
        (Reason("behind", (2,)), 2, "two is loaded first; 1 goes first."),
        (Reason("behind", (2, 3)), 1, "two and three are loaded first; you are next."),
        (Reason("behind"), 1, "Others are loaded first; you are next."),
        (
            Reason("room", (1, 2), 1),
            1,
            "Waiting for one and two to finish 1 running answer and make room; you are next.",
        ),
        (Reason("leaving", (1,)), 1, "one is being unloaded and will be loaded again; you are next."),
        (Reason("lingering", (1,)), 1, "one is likely to be used again within moments; you are next."),
        (
            Reason("foreign", device="GeForce"),
            2,
            "Other programs use too much memory on GeForce; it loads when they give back some; 1 goes first.",
        ),
        (
            Reason("foreign", device="GeForce", short_bytes=3 << 29),
            1,
            "Other programs use too much memory on GeForce; it loads when they give back about 1.5 GiB; you are next.",
        ),
        (Reason("loading", (1,)), 1, "one is loading and its slots go to earlier requests; you are next."),
    ],
)
def test_a_wait_is_explained(why: Reason, position: int, sentence: str) -> None:
    assert waits_and_refusals.reason(why, position, NAMES.__getitem__) == sentence
    assert waits_and_refusals.wait(InQueue(position, why), NAMES.__getitem__) == sentence


def test_stages_have_sentences_too() -> None:
    assert waits_and_refusals.wait(ForLoading(0.42), NAMES.__getitem__) == "Loading, 42%."
    assert waits_and_refusals.wait(ForEviction((1, 2)), NAMES.__getitem__) == "Making room: one and two must leave."


def test_a_refusal_for_pinned_ones_names_them() -> None:
    facts = {
        "device": "RAM",
        "needed_bytes": 3 * 1024**3,
        "budget_bytes": 4 * 1024**3,
        "pinned_bytes": 2 * 1024**3,
        "pinned": [1],
        "foreign_bytes": 0,
    }
    refusal = waits_and_refusals.refusal(Refuse(7, 2, "does_not_fit", facts), NAMES.__getitem__)
    assert refusal["detail"] == (
        "two needs at least 3.0 GiB in RAM, but of the budget of 4.0 GiB there one keeps 2.0 GiB pinned. "
        "Unpin it, or give two less context."
    )
    assert refusal["facts"] == facts
