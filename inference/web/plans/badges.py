"""Plans of variants on this machine, as badges: remembered until the files, the wishes or the machine change.

Nothing is loaded. Reads headers; blocks. What is known is told at once, and what is not is worked out while there is time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from inference.core.planning.placement import CannotTell, Wishes, place
from inference.web.crossing.recent_values import Recent
from inference.web.plans.badge import Badge, badge_of, unknown_badge
from inference.web.plans.what_if import CannotBePlanned, told_of
from inference.wishes import wishes_of
from inference.wording.placements import unknown_reason
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


_known: Recent[Subject, Badge] = Recent(MOST_REMEMBERED)


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
    """Those of which the badge is known, by id."""
    found = {pk: _known.peek(subject) for pk, subject in wanted.items()}
    return {pk: badge for pk, badge in found.items() if badge is not None}


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
            found[pk] = _known.get(subject, partial(_badge, subject))
            if clock() >= deadline:
                break
    return found


def _badge(subject: Subject) -> Badge:
    """From the files as they are now; up to a second for a large header."""
    try:
        told = told_of([path for path, _, _ in subject.files])
        return badge_of(place(told.header, subject.profile, subject.wishes, told), len(subject.profile.gpus))
    except CannotBePlanned as cannot:
        return unknown_badge(cannot.detail)
    except CannotTell as cannot:
        return unknown_badge(unknown_reason(cannot))
