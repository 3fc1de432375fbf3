"""The host's sentences say what, why and what to do."""

from __future__ import annotations

import pytest

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.reasons import ForEviction, ForLoading, InQueue, Reason
from inference.core.scheduling.refusals import DoesNotFit
from inference.wording import names, refusals, waits

NAMES = {ResidentId(1): "one", ResidentId(2): "two", ResidentId(3): "three"}


@pytest.mark.parametrize(
    ("why", "position", "sentence"),
    [
        (Reason("slots", (ResidentId(1),)), 1, "All slots of one are busy. You are next."),
        (Reason("slots", (ResidentId(1),)), 2, "All slots of one are busy. 1 goes first."),
        (Reason("slots", (ResidentId(1),)), 4, "All slots of one are busy. 3 go first."),
        (
            Reason("room", (ResidentId(1),), 1),
            1,
            "Waiting for one to finish its running answer and make room. You are next.",
        ),
        (
            Reason("room", (ResidentId(1), ResidentId(2), ResidentId(3)), 4),
            1,
            "Waiting for one, two and three to finish 4 running answers and make room. You are next.",
        ),
        (Reason("room", (ResidentId(1),), 0), 1, "Waiting for one to make room. You are next."),
        (Reason("behind", (ResidentId(2),)), 2, "two is loaded first. 1 goes first."),
        (Reason("behind", (ResidentId(2), ResidentId(3))), 1, "two and three are loaded first. You are next."),
        (Reason("behind"), 1, "Others are loaded first. You are next."),
        (
            Reason("room", (ResidentId(1), ResidentId(2)), 1),
            1,
            "Waiting for one and two to finish 1 running answer and make room. You are next.",
        ),
        (Reason("leaving", (ResidentId(1),)), 1, "one is being unloaded and will be loaded again. You are next."),
        (Reason("lingering", (ResidentId(1),)), 1, "one is likely to be used again within moments. You are next."),
        (
            Reason("foreign", device="gpu0", device_name="GeForce"),
            2,
            "Other programs use too much memory on GeForce; it loads when they give back some. 1 goes first.",
        ),
        (
            Reason("foreign", device="gpu0", device_name="GeForce", short_bytes=3 << 29),
            1,
            "Other programs use too much memory on GeForce; it loads when they give back about 1.50 GiB. You are next.",
        ),
        (Reason("loading", (ResidentId(1),)), 1, "one is loading and its slots go to earlier requests. You are next."),
    ],
)
def test_a_wait_is_explained(why: Reason, position: int, sentence: str) -> None:
    assert waits.sentence(why, position, NAMES.__getitem__) == sentence
    assert waits.of(InQueue(position, why), NAMES.__getitem__) == sentence


def test_stages_have_sentences_too() -> None:
    assert waits.of(ForLoading(0.42), NAMES.__getitem__) == "Loading, 42%."
    assert (
        waits.of(ForEviction((ResidentId(1), ResidentId(2))), NAMES.__getitem__)
        == "Making room: one and two must leave."
    )


def test_a_refusal_for_pinned_ones_names_them() -> None:
    unfit = DoesNotFit("ram", 3 * 1024**3, 4 * 1024**3, (ResidentId(1),), 2 * 1024**3, device_name="RAM")
    assert refusals.sentence(unfit, ResidentId(2), NAMES.__getitem__) == (
        "two needs at least 3 GiB in RAM, but of the budget of 4 GiB there one keeps 2 GiB pinned. "
        "Unpin it, or give two less context."
    )


def test_a_server_that_answers_one_at_a_time_is_not_spoken_of_in_bytes() -> None:
    unfit = DoesNotFit("gpu0/clients", 1, 1, (ResidentId(1),), 1, device_name="far", pool="clients")
    assert refusals.sentence(unfit, ResidentId(2), NAMES.__getitem__) == (
        "two must load on far, whose server answers 1 at a time, and one is pinned there. "
        "Unpin it, or let layers of two stay in RAM."
    )


def test_what_stands_for_a_name_begins_a_sentence_with_a_capital() -> None:
    assert (
        waits.why(Reason("behind", (ResidentId(1),)), lambda _: names.kept())
        == "A model kept for others is loaded first."
    )
    assert (
        waits.why(Reason("slots", (ResidentId(1),)), lambda _: names.kept())
        == "All slots of a model kept for others are busy."
    )
    assert waits.why(Reason("behind", (ResidentId(1),)), lambda _: "a-model") == "a-model is loaded first."
