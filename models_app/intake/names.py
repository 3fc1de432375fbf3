"""Names for variants that are still to come: of no other variant, of no other job, of no file."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction

from models_app.intake.spec import file_names, part_of
from models_app.models import RESERVED_NAMES, Job, Variant, validate_variant_name

MAY_GO_ON = (*Job.ACTIVE, Job.State.FAILED)
"""A failed job may be tried again, and then wants its name."""
_GIVING = 0x686F7374
"""Of PostgreSQL's advisory locks, ours."""


class Names:
    """Those that are a page's, a variant's or promised to a job in one of `states`, as of when they were read. Files are looked for each
    time.
    """

    def __init__(self, states: Collection[str] = MAY_GO_ON) -> None:
        stored = Variant.objects.values_list("name", flat=True)
        self._taken = set(RESERVED_NAMES) | {name.lower() for name in (*promised(states), *stored)}

    def is_taken(self, name: str, n_files: int = 1) -> bool:
        if name.lower() in self._taken:
            return True
        targets = [Path(settings.MODELS_DIR) / file for file in file_names(name, n_files)]
        return any(path.exists() for target in targets for path in (target, part_of(target)))

    def take(self, wanted: str, n_files: int = 1) -> str:
        """`wanted`, with a number behind it where that is taken; taken itself from now on. Raises ValidationError where it is not
        fit for a name.
        """
        validate_variant_name(wanted)
        number, name = 1, wanted
        while self.is_taken(name, n_files):
            number += 1
            name = f"{wanted}-{number}"
        self._taken.add(name.lower())
        return name


@contextmanager
def giving_names(states: Collection[str] = MAY_GO_ON) -> Iterator[Names]:
    """A transaction in which nobody else gives names: what is free in it still is when the job that gets it is stored."""
    with transaction.atomic():
        # SQLite's transactions come one after the other anyway: see DATABASES in the settings.
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_GIVING])
        yield Names(states)


def promised(states: Collection[str] = MAY_GO_ON) -> list[str]:
    """To jobs that have not made their variants yet. A job's spec says `name`, or `files` that each have one."""
    names = []
    for spec in Job.objects.filter(state__in=states).values_list("spec", flat=True):
        entries = [spec, *spec.get("files", [])]
        names += [each["name"] for each in entries if isinstance(each, dict) and isinstance(each.get("name"), str)]
    return names
