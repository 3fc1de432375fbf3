"""Which variants a job's words name. Pure.

By id, which outlives the row: whoever must not learn of one is told the words without its name, and whom one that is gone was
kept for is not known any more. Kept in `Job.kept`, beside what the next attempt needs, which gets it without this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models_app.models import Job

KEY = "mentions"

_SPEC_KEYS = ("variant", "variant_id", "source_id")
_NAMED_OTHERS = ("measure", "imatrix")
"""Kinds whose log named siblings, and whoever had to make room."""


@dataclass(frozen=True, slots=True)
class Mentions:
    title: tuple[int, ...] | None = ()
    """Named by the title, and by files that the words name; None: not known."""
    others: tuple[int, ...] | None = ()
    """Named beside them by the log, the reason or the stage; None: not known."""
    stage: Mapping[str, Any] | None = None
    """What the present stage is about, as the kind told it: `Job.stage` says it without names then."""

    def with_others(self, variant_ids: Iterable[int]) -> Mentions:
        """What was not known is not known of this either."""
        if self.others is None:
            return self
        new = sorted(set(variant_ids) - set(self.others) - set(self.title or ()))
        return replace(self, others=(*self.others, *new)) if new else self

    def with_made(self, variant_id: int) -> Mentions:
        """The title of a job that was begun for no variant names the one that it makes."""
        return replace(self, title=(variant_id,)) if self.title == () else self.with_others((variant_id,))

    def to_json(self) -> dict[str, Any]:
        return {
            "title": None if self.title is None else list(self.title),
            "others": None if self.others is None else list(self.others),
            "stage": None if self.stage is None else dict(self.stage),
        }


def mentions_of(job: Job) -> Mentions:
    found = job.kept.get(KEY)
    return _of_earlier_versions(job) if found is None else _from_json(found)


def without_mentions(kept: Mapping[str, Any]) -> dict[str, Any]:
    """What the job's own code has kept."""
    return {key: value for key, value in kept.items() if key != KEY}


def _from_json(found: Mapping[str, Any]) -> Mentions:
    title, others = found["title"], found["others"]
    return Mentions(
        None if title is None else tuple(title), None if others is None else tuple(others), found.get("stage")
    )


def _of_earlier_versions(job: Job) -> Mentions:
    """A row that kept no mentions: what its columns tell, and not a word more."""
    spoken = tuple(job.spec[key] for key in _SPEC_KEYS if isinstance(job.spec.get(key), int))
    made = () if job.variant_id is None else (job.variant_id,)
    if spoken or made:
        return Mentions(spoken or made, None if job.kind in _NAMED_OTHERS else made)
    if job.state == job.State.DONE or job.kind == "import":
        # It made one, or may have: that one is gone, and with it whom it was kept for.
        return Mentions(None, None)
    return Mentions((), None if job.kind in _NAMED_OTHERS else ())
