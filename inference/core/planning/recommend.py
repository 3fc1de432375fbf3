"""Which of a repository's variants to take on this machine, and why. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from inference.core.planning.fit import Fit

FAST_TOKENS_PER_SECOND = 10.0
"""About twice as fast as people read: more is pleasant, and worth less than a better answer."""
LEAST_SOUND_BITS = 4.0
"""Per weight. Below, answers are noticeably worse."""
LEAST_BITS = 3.0
NEARLY = 0.9
"""Of the fastest's speed: what is nearly as fast and better is taken instead."""
MOST_USEFUL_BITS = 12.0
"""Q8_0 has 8.5 and is practically lossless: unquantized weights only cost memory and speed."""

Ground = Literal["best_whole", "best_part", "small_whole", "fastest", "small", "unquantized"]
Lack = Literal["nothing", "too_large", "no_room", "unknown"]


@dataclass(frozen=True, slots=True)
class Candidate:
    key: str
    size_bytes: int
    bits_per_weight: float
    fit: Fit
    decode_tokens_per_second: float | None
    has_room: bool | None
    """On the disk; None: not known."""

    @property
    def is_fast(self) -> bool:
        return (self.decode_tokens_per_second or 0.0) >= FAST_TOKENS_PER_SECOND

    @property
    def is_sound(self) -> bool:
        return LEAST_SOUND_BITS <= self.bits_per_weight <= MOST_USEFUL_BITS


@dataclass(frozen=True, slots=True)
class Recommendation:
    """`key` is None where none is recommended, for `lack`."""

    key: str | None
    ground: Ground | None = None
    lack: Lack | None = None
    better: str | None = None
    """One that is of better quality and would fit wholly, but is slow; by key."""


def recommend(candidates: Sequence[Candidate]) -> Recommendation:
    """The best quality that is fast; among what is slow, the fastest, or nearly. Quality first, where speed is no question.

    Larger means better here: the variants are of one model.
    """
    known = [each for each in candidates if each.fit not in (Fit.UNKNOWN, Fit.NO)]
    usable = [each for each in known if each.has_room is not False]
    if not usable:
        return Recommendation(None, lack=_lack(candidates, known))
    sound = [each for each in usable if each.is_sound]
    small = [each for each in usable if LEAST_BITS <= each.bits_per_weight < LEAST_SOUND_BITS]
    if whole := [each for each in sound if each.fit is Fit.WHOLE and each.is_fast]:
        best = max(whole, key=_quality)
        slower = [each for each in sound if each.fit is Fit.WHOLE and _quality(each) > _quality(best)]
        return Recommendation(best.key, "best_whole", better=max(slower, key=_quality).key if slower else None)
    if fast := [each for each in sound if each.is_fast]:
        return Recommendation(max(fast, key=_quality).key, "best_part")
    if whole := [each for each in small if each.fit is Fit.WHOLE and each.is_fast]:
        return Recommendation(max(whole, key=_quality).key, "small_whole")
    if sound:
        fastest = max(each.decode_tokens_per_second or 0.0 for each in sound)
        nearly = [each for each in sound if (each.decode_tokens_per_second or 0.0) >= NEARLY * fastest]
        return Recommendation(max(nearly, key=_quality).key, "fastest")
    if less := [each for each in usable if each.bits_per_weight < LEAST_SOUND_BITS]:
        return Recommendation(max(less, key=_quality).key, "small")
    return Recommendation(max(usable, key=_speed).key, "unquantized")


def _lack(candidates: Sequence[Candidate], known: Sequence[Candidate]) -> Lack:
    if not candidates:
        return "nothing"
    if known:
        return "no_room"
    return "too_large" if any(each.fit is Fit.NO for each in candidates) else "unknown"


def _quality(each: Candidate) -> tuple[float, str]:
    return each.bits_per_weight, each.key


def _speed(each: Candidate) -> tuple[float, float, str]:
    return each.decode_tokens_per_second or 0.0, each.bits_per_weight, each.key
