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
    """Knows which names are taken: by a page, a variant, a file, or a job in one of `states`.

    Rows are read once, files looked for each time.
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
        """Takes `wanted`, with a number behind it where that is taken. Raises ValidationError for an unfit name."""
        validate_variant_name(wanted)
        number, name = 1, wanted
        while self.is_taken(name, n_files):
            number += 1
            name = f"{wanted}-{number}"
        self._taken.add(name.lower())
        return name


@contextmanager
def giving_names(states: Collection[str] = MAY_GO_ON) -> Iterator[Names]:
    """Opens a transaction in which nobody else gives names, so that a free one still is when its job is stored."""
    with transaction.atomic():
        # SQLite's transactions come one after the other anyway: see DATABASES in the settings.
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_GIVING])
        yield Names(states)


def promised(states: Collection[str] = MAY_GO_ON) -> list[str]:
    """Names that jobs in `states` will give. A job's spec says `name`, or `files` that each have one."""
    names = []
    for spec in Job.objects.filter(state__in=states).values_list("spec", flat=True):
        entries = [spec, *spec.get("files", [])]
        names += [each["name"] for each in entries if isinstance(each, dict) and isinstance(each.get("name"), str)]
    return names
