"""Why the host says no, as facts. Words are made of them for each reader: inference.wording.refusals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from inference.core.loads.devices import PoolKind
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.vocabulary import FailureReason


@dataclass(frozen=True, slots=True)
class DoesNotFit:
    """Not even with every variant gone that may go. All bytes are of `device`."""

    kind: ClassVar[Literal["does_not_fit"]] = "does_not_fit"
    device: str
    needed_bytes: int
    budget_bytes: int
    pinned: tuple[ResidentId, ...] = ()
    pinned_bytes: int = 0
    foreign_bytes: int = 0
    device_name: str = ""
    pool: PoolKind = "memory"
    """`clients`: "bytes" are workers of a server that answers only so many at once."""


@dataclass(frozen=True, slots=True)
class FailedToLoad:
    """Its worker ended before it was ready, or so often that it is not started any more."""

    kind: ClassVar[Literal["failed"]] = "failed"
    reason: FailureReason
    detail: str
    """What its worker said last, or its options' fault. May name files."""
    failures_in_a_row: int = 0
    is_final: bool = False
    """It is not tried again until a person loads it."""


@dataclass(frozen=True, slots=True)
class UnloadedMeanwhile:
    """A person unloaded it while others waited."""

    kind: ClassVar[Literal["unloaded"]] = "unloaded"


@dataclass(frozen=True, slots=True)
class ShuttingDown:
    kind: ClassVar[Literal["shutting_down"]] = "shutting_down"


@dataclass(frozen=True, slots=True)
class VariantUnknown:
    kind: ClassVar[Literal["unknown_variant"]] = "unknown_variant"


@dataclass(frozen=True, slots=True)
class VariantDisabled:
    """Its owner switched it off."""

    kind: ClassVar[Literal["disabled"]] = "disabled"
    variant_id: int


@dataclass(frozen=True, slots=True)
class NoStorage:
    """`database`: it did not answer. `profile`: what it has of this machine makes no sense. `error`: as it said so."""

    kind: ClassVar[Literal["storage"]] = "storage"
    of: Literal["database", "profile"]
    error: str


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """The request was not understood. `problem`: what of it, for whoever wrote the program."""

    kind: ClassVar[Literal["bad_message"]] = "bad_message"
    problem: str


Refusal = (
    DoesNotFit
    | FailedToLoad
    | UnloadedMeanwhile
    | ShuttingDown
    | VariantUnknown
    | VariantDisabled
    | NoStorage
    | NotUnderstood
)
RefusalKind = Literal[
    "does_not_fit", "failed", "unloaded", "shutting_down", "unknown_variant", "disabled", "storage", "bad_message"
]


def mentioned(refusal: Refusal) -> tuple[ResidentId, ...]:
    """Ids of the variants that it is about, besides the one that was asked for."""
    return refusal.pinned if isinstance(refusal, DoesNotFit) else ()
