"""Taking a variant out of the inventory, and off the disk where its files are the box's own.

Blocks on the disk and the database. Whether somebody uses the variant is the caller's to find out.

A kill at any point loses nothing that was not asked to go: first the variant is withheld, then its files go, then its rows. What
a kill leaves is a withheld variant whose files are gone or not; deleting it again finishes, and a scan that finds all its
files takes it back.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from models_app.audit import DELETION, record
from models_app.files import sync_folder
from models_app.models import Job, Shard, Variant
from models_app.units import format_bytes

WITHHELD = "it is being deleted"


def own_folder() -> Path:
    """Where the box keeps what it downloads, makes or takes in. Nothing outside is ever unlinked."""
    return Path(settings.MODELS_DIR)


@dataclass(frozen=True, slots=True)
class File:
    path: Path
    freed_bytes: int
    """What the disk gets back when it goes: nothing where another name keeps it, or where it is gone already."""
    is_ours: bool
    is_shared: bool
    """Another name (a hard link) keeps the bytes."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What deleting one variant takes away."""

    files: tuple[File, ...]
    made: tuple[str, ...] = ()
    """Variants that were made from it; they stay."""
    jobs: tuple[Job, ...] = ()
    """That work on it or make it, and have not ended: it is not deleted under them."""

    @property
    def freed_bytes(self) -> int:
        return sum(file.freed_bytes for file in self.files if file.is_ours)

    @property
    def kept(self) -> tuple[Path, ...]:
        """Files that stay where they are: they were there before hostui knew of them."""
        return tuple(file.path for file in self.files if not file.is_ours)

    @property
    def sentence(self) -> str:
        """What will happen to the files, for a person."""
        ours = [file for file in self.files if file.is_ours]
        said = []
        if ours:
            many = "its file is" if len(ours) == 1 else f"its {len(ours)} files are"
            said.append(f"{many.capitalize()} deleted, which frees {format_bytes(self.freed_bytes)}.")
        if any(file.is_shared for file in ours):
            said.append("What is kept under a second name elsewhere on the disk stays there.")
        if self.kept:
            many, them = ("its file stays", "it") if len(self.kept) == 1 else (f"{len(self.kept)} files stay", "them")
            folders = ", ".join(sorted({str(path.parent) for path in self.kept}))
            said.append(
                f"{many.capitalize()} in {folders}. hostui did not put {them} there, and only forgets about {them}. "
                f"A scan of that folder would add {them} again."
            )
        return " ".join(said) or "It has no files."


def removal(variant: Variant) -> Removal:
    files = tuple(_file(Path(path)) for path in _paths(variant))
    made = variant.made.order_by("name").values_list("name", flat=True)
    return Removal(files, tuple(made), tuple(variant.jobs.filter(state__in=Job.ACTIVE).order_by("pk")))


def _paths(variant: Variant) -> Sequence[str]:
    return list(Shard.objects.filter(variant=variant).order_by("number").values_list("path", flat=True))


def _file(path: Path) -> File:
    try:
        stat = os.lstat(path)
    except OSError:
        return File(path, 0, is_ours=_is_ours(path), is_shared=False)
    is_shared = stat.st_nlink > 1
    return File(path, 0 if is_shared else stat.st_blocks * 512, is_ours=_is_ours(path), is_shared=is_shared)


def _is_ours(path: Path) -> bool:
    """Whether its name lies in our folder, wherever links on the way there lead. A link there is ours, what it points to is not."""
    folder = own_folder().resolve()
    parent = path.parent.resolve()
    return parent == folder or folder in parent.parents


# doing it -----------------------------------------------------------------------------------------------------


def withhold(variant: Variant) -> None:
    """Disables the variant, so that nobody gets a new lease on it. `restore` undoes it."""
    Variant.objects.filter(pk=variant.pk).update(enabled=False, problem=WITHHELD)


def restore(variant: Variant) -> None:
    """Undoes `withhold`: the row says again what it said when `variant` was read."""
    Variant.objects.filter(pk=variant.pk, problem=WITHHELD).update(enabled=variant.enabled, problem=variant.problem)


def delete(variant: Variant, user_id: int) -> Removal:
    """Takes a withheld variant's own files and rows away, and notes who asked. What was taken away.

    Raises OSError where a file cannot be deleted; the variant stays then, withheld, and may be deleted again.
    """
    found = removal(variant)
    for file in found.files:
        if file.is_ours:
            file.path.unlink(missing_ok=True)
    _sync(found)
    with transaction.atomic():
        record([variant], user_id, DELETION, f"Deleted. {found.sentence}")
        repository = variant.repository
        Variant.objects.filter(pk=variant.pk).delete()
        if not repository.variants.exists():
            repository.delete()
    return found


def _sync(found: Removal) -> None:
    """Makes the deletion survive a power cut: a scan would list half a model that came back."""
    for folder in {file.path.parent for file in found.files if file.is_ours}:
        with suppress(FileNotFoundError, PermissionError):  # gone with what it held, or not to be opened by us
            sync_folder(folder)
