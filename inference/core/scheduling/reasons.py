"""Why somebody waits, as facts. Words are made of them for each reader: inference.wording.waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from inference.core.loads.resident_id import ResidentId

ReasonKind = Literal["slots", "room", "behind", "leaving", "loading", "lingering", "foreign"]


@dataclass(frozen=True, slots=True)
class Reason:
    """`slots`: every slot of the variant is leased. `room`: `variants` must finish `answers` running answers and leave.
    `behind`: `variants` are loaded first. `leaving`: the variant itself is on its way out and comes back.
    `loading`: the variant is loading, and its slots go to earlier requests. `lingering`: whoever used `variants` last comes
    back within moments as a rule, so they stay for a blink. `foreign`: other programs use so much of `device` that it
    doesn't fit until they give some back."""

    kind: ReasonKind
    variants: tuple[ResidentId, ...] = ()
    answers: int = 0
    device: str | None = None
    device_name: str | None = None
    short_bytes: int | None = None
    """Of a foreign reason: how much they must give back, in whole steps, so that not every sample is news."""


@dataclass(frozen=True, slots=True)
class InQueue:
    """Others go first. `position` counts from 1 = next."""

    kind: ClassVar[Literal["queue"]] = "queue"
    position: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class ForEviction:
    """Room is being made: `variants` are on their way out."""

    kind: ClassVar[Literal["eviction"]] = "eviction"
    variants: tuple[ResidentId, ...]


@dataclass(frozen=True, slots=True)
class ForLoading:
    """It is being loaded. `fraction`: 0 to 1."""

    kind: ClassVar[Literal["loading"]] = "loading"
    fraction: float


Wait = InQueue | ForEviction | ForLoading


def mentioned(wait: Wait) -> tuple[ResidentId, ...]:
    """Ids of the variants that it is about."""
    match wait:
        case InQueue(reason=reason):
            return reason.variants
        case ForEviction(variants=variants):
            return variants
    return ()
