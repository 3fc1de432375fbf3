"""Files in the folder for models that are a job's, and `.part` files that no job will ever finish."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path

from models_app.catalog.read_files import shown
from models_app.intake.names import promised
from models_app.intake.part import Part, PartHeld
from models_app.intake.spec import PART
from models_app.models import Job

YOUNG_SECONDS = 600.0
"""Not every writer holds a lock on its file; one that is written to is younger than this."""
_TAIL = re.compile(r"(-\d{5}-of-\d{5})?\.gguf(\.part)?\Z")


def orphaned_files(paths: Iterable[Path]) -> list[Path]:
    """Filters out what a job under way brings or makes: it adds the variant itself, once all is there."""
    names = {name.lower() for name in promised(Job.ACTIVE)}
    return [path for path in paths if _owner(path) not in names]


def _owner(path: Path) -> str:
    return _TAIL.sub("", path.name).lower()


def remove_leftovers(folder: Path) -> list[str]:
    """Removes `.part` files right in `folder` that no job will finish and nobody holds. Returns their names."""
    if not folder.is_dir():
        return []
    names = {name.lower() for name in promised()}
    removed = []
    for path in sorted(folder.glob(f"*{PART}")):
        if _owner(path) in names or time.time() - path.stat().st_mtime < YOUNG_SECONDS or path.is_symlink():
            continue
        try:
            Part.open(path.with_name(path.name.removesuffix(PART))).remove()
        except (PartHeld, OSError):
            continue
        removed.append(shown(path.name))
    return removed
