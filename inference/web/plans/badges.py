"""Remembers plans of variants on this machine until files, wishes or machine change, and shows them as badges.

Nothing is loaded. Reads headers; blocks. What is known is told at once, and what is not is worked out while there is time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from inference.core.planning.footprint import CannotTell
from inference.core.planning.placement import place
from inference.core.planning.wishes import Wishes
from inference.web.crossing.recent_values import Recent
from inference.web.plans.badge import Badge, Planned, badge_of
from inference.web.plans.what_if import CannotBePlanned, estimates_of, unforeseen
from inference.wishes import wishes_of
from models_app.hardware import Profile
from models_app.hardware.stored import BadDevices
from models_app.machines.this_machine_row import this_box
from models_app.models import Shard, Variant

MOST_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything that a badge follows from, as the rows have it."""

    files: tuple[tuple[str, int, int | None], ...]
    """Path, bytes and time of modification."""
    wishes: Wishes
    profile: Profile


_known: Recent[Subject, Planned] = Recent(MOST_REMEMBERED)


def here() -> Profile | None:
    """This machine, with the box's own RAM budget; None where its stored devices make no sense. The first look takes a second."""
    try:
        return this_box()
    except BadDevices:
        return None


def subjects(variants: Iterable[Variant], profile: Profile) -> dict[int, Subject]:
    """By variant id; those without files are left out. One query."""
    rows = list(variants)
    files: dict[int, list[tuple[str, int, int | None]]] = {}
    shards = Shard.objects.filter(variant_id__in=[row.pk for row in rows]).order_by("variant_id", "number")
    for variant_id, path, size_bytes, mtime_ns in shards.values_list("variant_id", "path", "size_bytes", "mtime_ns"):
        files.setdefault(variant_id, []).append((path, size_bytes, mtime_ns))
    return {row.pk: Subject(tuple(files[row.pk]), wishes_of(row), profile) for row in rows if row.pk in files}


def remembered(wanted: Mapping[int, Subject]) -> dict[int, Badge]:
    """Badges of those that were planned before, by id."""
    found = {pk: (_known.peek(subject), subject.profile) for pk, subject in wanted.items()}
    return {pk: badge_of(planned, profile) for pk, (planned, profile) in found.items() if planned is not None}


def badges(
    variants: Sequence[Variant], within_seconds: float, clock: Callable[[], float] = time.monotonic
) -> dict[int, Badge]:
    """By id. Works out what is not known for as long as there is time, and at least one; the rest is left out."""
    profile = here()
    if profile is None:
        return {}
    wanted = subjects(variants, profile)
    found = remembered(wanted)
    deadline = clock() + within_seconds
    for pk, subject in wanted.items():
        if pk not in found:
            found[pk] = badge_of(_known.get(subject, partial(_planned, subject)), profile)
            if clock() >= deadline:
                break
    return found


def _planned(subject: Subject) -> Planned:
    """From the files as they are now; up to a second for a large header."""
    try:
        estimates = estimates_of([path for path, _, _ in subject.files])
        found = place(estimates.header, subject.profile, subject.wishes, estimates)
    except CannotBePlanned as cannot:
        # A new one: those that were raised hold on to what they passed through.
        return CannotBePlanned(cannot.name, cannot.problem, is_unforeseen=cannot.is_unforeseen)
    except CannotTell as cannot:
        return CannotTell(cannot.what, cannot.architecture)
    except Exception as error:
        return unforeseen(Path(subject.files[0][0]).name, error)
    return replace(found, ways=found.ways[:1])
