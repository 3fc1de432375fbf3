"""How well one model foretells a text, and how far its guesses are from another's. Pure, but for numpy.

Perplexity as in llama.cpp's llama-perplexity: windows of equal length, each read from its beginning, and only the second half
of each counts, where there is something to go by. The Kullback-Leibler divergence is that of the measured model's
distribution from the reference's over the whole vocabulary, at each of these places.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROWS_AT_ONCE = 32
"""A row of a large vocabulary is a megabyte, and the sums are made in double precision."""

_MOST_NATS = 80.0
"""Of surprise on average: beyond, all models are equally useless, and the perplexity is more than a number can hold."""

Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of the text. Tokens from `first` on have their successors foretold."""

    tokens: tuple[int, ...]
    first: int

    @property
    def followers(self) -> tuple[int, ...]:
        return self.tokens[self.first + 1 :]


def windows(tokens: Sequence[int], length: int, most: int) -> tuple[Window, ...]:
    """Cuts tokens into at most `most` windows, one after the other; a rest that is too short is left out."""
    starts = range(0, len(tokens) - length + 1, length)
    return tuple(Window(tuple(tokens[start : start + length]), length // 2) for start in list(starts)[:most])


@dataclass(frozen=True, slots=True)
class Places:
    """What was found at each place of a text, in nats."""

    surprise: NDArray[np.float64]
    """By the token that really follows."""
    divergence: NDArray[np.float64] | None = None
    """From the reference."""
    same_top: NDArray[np.bool_] | None = None
    """Whether both find the same token the likeliest."""


def compare(logits: Logits, followers: Sequence[int], reference: Logits | None = None) -> Places:
    """Compares one window with what follows in it. `logits`: a row for each of `followers`."""
    surprise, divergence, same = [], [], []
    for start in range(0, len(followers), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        here = np.asarray(followers[rows])
        own = _log_softmax(logits[rows])
        surprise.append(-own[np.arange(len(here)), here])
        if reference is not None:
            theirs = _log_softmax(reference[rows])
            divergence.append((np.exp(theirs) * (theirs - own)).sum(axis=1))
            same.append(own.argmax(axis=1) == theirs.argmax(axis=1))
    if reference is None:
        return Places(np.concatenate(surprise))
    return Places(np.concatenate(surprise), np.concatenate(divergence), np.concatenate(same))


def _log_softmax(logits: Logits) -> NDArray[np.float64]:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return wide


@dataclass(frozen=True, slots=True)
class TextScore:
    n_tokens: int
    perplexity: float
    perplexity_error: float
    """One standard error, as the mean's."""
    kl_divergence: float | None
    kl_error: float | None
    same_top: float | None


def score(found: Iterable[Places]) -> TextScore:
    """Over all windows. Raises ValueError without any place, and for guesses that are no numbers."""
    places = list(found)
    surprise = np.concatenate([each.surprise for each in places])
    mean, error = _mean(surprise)
    perplexity = math.exp(min(mean, _MOST_NATS))
    divergences = [each.divergence for each in places if each.divergence is not None]
    tops: list[Any] = [each.same_top for each in places if each.same_top is not None]
    kl, kl_error = _mean(np.concatenate(divergences)) if divergences else (None, None)
    return TextScore(
        n_tokens=len(surprise),
        perplexity=perplexity,
        perplexity_error=perplexity * error,
        # Rounding alone makes a model's divergence from itself a hair less than nothing.
        kl_divergence=None if kl is None else max(0.0, kl),
        kl_error=kl_error,
        same_top=float(np.concatenate(tops).mean()) if tops else None,
    )


def _mean(values: NDArray[np.float64]) -> tuple[float, float]:
    """The mean and its standard error."""
    if not len(values):
        raise ValueError("nothing was measured")
    if not np.isfinite(values).all():
        raise ValueError("its guesses are no numbers: the file is damaged")
    spread = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(values.mean()), spread
