"""Token bytes become whole characters, reasoning is set apart, and nothing past a stop string comes out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.core.decoding.text import MARKERS, PAIRS, Reasoning, Span, StopStrings, Utf8Decoder, open_tag


def cuts(whole: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """A text, cut into pieces anywhere."""

    def cut(text: str) -> st.SearchStrategy[list[str]]:
        places = st.lists(st.integers(0, len(text)), max_size=8).map(lambda at: [0, *sorted(at), len(text)])
        return places.map(lambda at: [text[a:b] for a, b in pairwise(at)])

    return whole.flatmap(cut)


def joined(spans: list[Span]) -> tuple[str, str]:
    return (
        "".join(span.text for span in spans if span.reasoning),
        "".join(span.text for span in spans if not span.reasoning),
    )


def split(pieces: list[str], opened_by: str | None = None) -> tuple[str, str]:
    """(reasoning, answer)"""
    reasoning = Reasoning(opened_by)
    spans = [span for piece in pieces for span in reasoning.feed(piece)]
    return joined([*spans, *reasoning.flush()])


# characters


@given(st.text(), st.integers(1, 5))
def test_any_text_survives_being_cut_into_bytes(text: str, width: int) -> None:
    raw = text.encode()
    decoder = Utf8Decoder()
    assert "".join(decoder.feed(raw[at : at + width]) for at in range(0, len(raw), width)) == text


def test_a_split_character_waits_and_never_shows_as_a_replacement() -> None:
    decoder = Utf8Decoder()
    assert [decoder.feed(bytes([byte])) for byte in "🙂".encode()] == ["", "", "", "🙂"]


def test_bytes_that_are_no_character_become_a_replacement_at_once() -> None:
    decoder = Utf8Decoder()
    assert decoder.feed(b"a\xffb") == "a�b"
    assert decoder.feed(b"\xe2\x82") == ""
    assert decoder.feed(b"x") == "�x"


# stop strings


def stopped(pieces: list[str], stops: list[str]) -> tuple[str, str | None]:
    matcher = StopStrings(stops)
    text = ""
    for piece in pieces:
        ready, found = matcher.feed(piece)
        text += ready
        if found is not None:
            return text, found
    return text + matcher.flush(), None


def expected_stop(text: str, stops: list[str]) -> tuple[str, str | None]:
    """By the definition: the first place at which some stop string is complete."""
    for end in range(1, len(text) + 1):
        done = [stop for stop in stops if text[:end].endswith(stop)]
        if done:
            longest = max(done, key=len)
            return text[: end - len(longest)], longest
    return text, None


@given(cuts(st.text("ab\n", max_size=30)), st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3))
def test_the_first_completed_stop_string_ends_the_text_however_it_arrives(pieces: list[str], stops: list[str]) -> None:
    assert stopped(pieces, stops) == expected_stop("".join(pieces), stops)


@given(cuts(st.text("ab", max_size=20)), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3))
def test_text_is_held_back_only_while_it_may_become_a_stop_string(pieces: list[str], stops: list[str]) -> None:
    matcher = StopStrings(stops)
    fed = given_out = ""
    for piece in pieces:
        ready, found = matcher.feed(piece)
        fed += piece
        given_out += ready
        if found is not None:
            return
        held = fed[len(given_out) :]
        assert held == "" or any(stop.startswith(held) for stop in stops)


# reasoning


@pytest.mark.parametrize(("opening", "closing"), PAIRS.items())
def test_every_known_tag_pair_sets_reasoning_apart(opening: str, closing: str) -> None:
    assert split([f"\n{opening}\nstep 1\nstep 2\n{closing}\n\nThe answer."]) == ("step 1\nstep 2", "The answer.")


@given(cuts(st.lists(st.sampled_from(["<", ">", "/", "t", "think", "<think>", "</think>", " ", "\n"])).map("".join)))
def test_how_the_text_is_cut_changes_nothing(pieces: list[str]) -> None:
    assert split(pieces) == split(["".join(pieces)])


@given(cuts(st.lists(st.sampled_from([*MARKERS, "final", "analysis", " ", "x\n"]), max_size=10).map("".join)))
def test_no_order_of_tags_depends_on_the_cut(pieces: list[str]) -> None:
    whole = "".join(pieces)
    assert split(pieces) == split([whole])
    assert split(pieces, "<think>") == split([whole], "<think>")


@given(cuts(st.text(max_size=40).filter(lambda text: text.strip()[:1] not in ("", "<", "["))))
def test_an_answer_without_tags_comes_through_unchanged(pieces: list[str]) -> None:
    assert split(pieces) == ("", "".join(pieces))


def test_an_answer_about_tags_is_not_swallowed() -> None:
    text = "Use <think> and </think> around it, or <|channel|>."
    assert split([text]) == ("", text)


def test_a_prompt_that_ends_in_an_open_tag_starts_inside_the_reasoning() -> None:
    tag = open_tag("<|im_start|>assistant\n<think>\n")
    assert tag == "<think>"
    assert split(["Hmm.", "</thi", "nk>Yes."], tag) == ("Hmm.", "Yes.")
    assert split(["<think>", "Hmm.</think>Yes."], tag) == ("Hmm.", "Yes."), "the model may repeat the tag"
    assert open_tag("<think>\n\n</think>\n\n") is None


def test_reasoning_that_never_ends_is_all_reasoning() -> None:
    assert split(["<think>on and on"]) == ("on and on", "")


def test_reasoning_streams_while_it_is_written() -> None:
    reasoning = Reasoning()
    assert joined(reasoning.feed("<think>one two")) == ("one two", "")
    assert joined(reasoning.feed(" three</")) == (" three", "")
    assert joined(reasoning.feed("i>four")) == ("</i>four", "")


def test_channels_tell_analysis_from_the_final_answer() -> None:
    text = (
        "<|channel|>analysis<|message|>Let me see.<|end|><|start|>assistant"
        "<|channel|>commentary<|message|>Nearly.<|end|><|start|>assistant<|channel|>final<|message|>Four."
    )
    assert split([text]) == ("Let me see.Nearly.", "Four.")
    assert split(list(text)) == ("Let me see.Nearly.", "Four.")


def test_markers_are_looked_for_only_until_the_answer_has_begun() -> None:
    reasoning = Reasoning()
    assert reasoning.looks_for_markers
    reasoning.feed("Hello")
    assert not reasoning.looks_for_markers
