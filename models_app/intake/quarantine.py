"""Files that came and were not what they should be: kept apart until somebody discards them or a later attempt brings the right ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User

from models_app.audit import DELETION, record, record_named
from models_app.intake.part import QUARANTINE
from models_app.models import Job, JobLine
from models_app.units import format_bytes

_TAIL = re.compile(r"(-\d{5}-of-\d{5})?\.gguf(\.part)?\Z")


@dataclass(frozen=True, slots=True)
class QuarantinedFile:
    """One file in quarantine."""

    name: str
    size_bytes: int
    at: datetime
    """When it was put there."""
    job: Job | None
    """That brought it; None where its row is gone."""
    why: str
    """Sentences; empty where the job's log no longer tells."""

    @property
    def size(self) -> str:
        return format_bytes(self.size_bytes)


def quarantined_files() -> list[QuarantinedFile]:
    """All of them, the latest first. Blocks on the disk and the database."""
    return sorted((_described(path) for path in _files()), key=lambda each: each.at, reverse=True)


def quarantined_bytes() -> int:
    return sum(path.lstat().st_size for path in _files())


def discard(name: str, user: User) -> QuarantinedFile | None:
    """What was removed; None where there is no such file (any more). Raises OSError."""
    path = next((path for path in _files() if path.name == name), None)
    if path is None:
        return None
    found = _described(path)
    path.unlink(missing_ok=True)
    message = f"Discarded from the quarantine: {name}, {found.size}."
    if found.job is None:
        record_named(name, user.pk, DELETION, message)
    else:
        record([found.job], user.pk, DELETION, message)
    return found


def _files() -> Iterator[Path]:
    folder = Path(settings.MODELS_DIR) / QUARANTINE
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if path.is_file() and not path.is_symlink())


def _described(path: Path) -> QuarantinedFile:
    stat = path.lstat()
    job = Job.objects.filter(kind="download", spec__name=_TAIL.sub("", path.name)).order_by("-pk").first()
    # Renaming it into the quarantine was the last change of its inode.
    at = datetime.fromtimestamp(stat.st_ctime, timezone.utc)
    return QuarantinedFile(path.name, stat.st_size, at, job, "" if job is None else _why(job, path.name))


def _why(job: Job, name: str) -> str:
    lines = job.lines.filter(level=JobLine.Level.ERROR, text__contains=QUARANTINE).order_by("-pk")
    found = list(lines.values_list("text", flat=True)[:20])
    return next((text for text in found if f"{QUARANTINE}/{name}" in text), found[0] if found else "")
