"""A type that a variant could be requantized to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from inference.web.plans.badge import Badge


class TargetProblem(Enum):
    """Why a type cannot be made now."""

    NEEDS_IMATRIX = "needs_imatrix"
    """No waiting brings an importance matrix."""
    NO_ROOM = "no_room"
    """On the disk. A job waits for that."""


@dataclass(frozen=True, slots=True)
class Target:
    """A type that could be made, as the page shows it."""

    type: str
    words: str
    n_bytes: int
    size: str
    bits: str
    """Per weight, of the whole file."""
    badge: Badge
    cautions: tuple[str, ...]
    problem: TargetProblem | None
    """None: it can be made."""
    problem_words: str
    is_usual: bool
