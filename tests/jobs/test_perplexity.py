"""How far one model's guesses are from another's, on numbers that can be checked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inference.jobs.perplexity import Places, compare, score, windows


def test_even_guesses_have_the_perplexity_of_the_vocabulary() -> None:
    places = compare(np.zeros((5, 8), dtype=np.float32), [0, 1, 2, 3, 4])
    assert score([places]).perplexity == pytest.approx(8)


def test_a_model_does_not_diverge_from_itself() -> None:
    logits = np.random.default_rng(1).normal(size=(40, 50)).astype(np.float32)
    found = score([compare(logits, list(range(40)), logits)])
    assert found.kl_divergence == 0
    assert found.same_top == 1
    # Where the level of the logits lies means nothing.
    assert score([compare(logits + 7, list(range(40)), logits)]).kl_divergence == pytest.approx(0, abs=1e-6)


def test_the_divergence_is_from_the_reference() -> None:
    reference = np.log(np.array([[0.5, 0.5]], dtype=np.float32))
    own = np.log(np.array([[0.9, 0.1]], dtype=np.float32))
    found = compare(own, [0], reference)
    assert found.divergence is not None
    assert found.divergence[0] == pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1), rel=1e-5)


def test_errors_shrink_with_the_number_of_places() -> None:
    few, many = (
        score([Places(np.random.default_rng(2).normal(2, 1, size=size))]).perplexity_error for size in (100, 10_000)
    )
    assert many < few / 5


def test_large_logits_do_not_overflow() -> None:
    found = score([compare(np.array([[1e4, 0.0]], dtype=np.float32), [1])])
    assert 1e30 < found.perplexity < math.inf


def test_guesses_that_are_no_numbers_are_found_out() -> None:
    with pytest.raises(ValueError, match="no numbers"):
        score([compare(np.full((1, 2), np.nan, dtype=np.float32), [1])])


def test_windows_are_whole_and_their_first_half_is_context() -> None:
    found = windows(list(range(1000)), 300, 5)
    assert [each.tokens[0] for each in found] == [0, 300, 600]
    assert found[0].first == 150
    assert found[0].followers == tuple(range(151, 300))
    assert len(windows(list(range(1000)), 300, 2)) == 2
    assert windows([1, 2, 3], 300, 2) == ()


def test_nothing_measured_is_no_score() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        score([Places(np.zeros(0))])
