"""Names for variants that are still to come: of no other variant, of no other job, of no file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from django.conf import settings

from models_app.downloads.spec import file_names, part_of
from models_app.job import Job
from models_app.models import Variant, validate_variant_name


def free_name(wanted: str, n_files: int = 1, given: Collection[str] = ()) -> str:
    """`wanted`, with a number behind it where that is taken, or `given` away a moment ago. Raises ValidationError where it is not fit for a name."""
    validate_variant_name(wanted)
    theirs = {name.lower() for name in (*promised(), *given)}
    number, name = 1, wanted
    while name.lower() in theirs or _is_taken(name, n_files):
        number += 1
        name = f"{wanted}-{number}"
    return name


def promised(states: Collection[str] = (*Job.ACTIVE, Job.State.FAILED)) -> list[str]:
    """To jobs that have not made their variants yet, failed ones included: they may be tried again. A job's spec says `name`,
    or `files` that each have one.
    """
    names = []
    for spec in Job.objects.filter(state__in=states).values_list("spec", flat=True):
        told = [spec, *spec.get("files", [])]
        names += [each["name"] for each in told if isinstance(each, dict) and isinstance(each.get("name"), str)]
    return names


def _is_taken(name: str, n_files: int) -> bool:
    if Variant.objects.filter(name__iexact=name).exists():
        return True
    targets = [Path(settings.MODELS_DIR) / file for file in file_names(name, n_files)]
    return any(path.exists() for target in targets for path in (target, part_of(target)))
