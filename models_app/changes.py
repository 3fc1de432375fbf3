"""Who changed what, and when: every change that a person makes goes into the admin's log, wherever it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

__all__ = ["ADDITION", "CHANGE", "DELETION", "Change", "history", "note", "recent"]


@dataclass(frozen=True, slots=True)
class Change:
    at: datetime
    who: str
    what: str
    """The row's name, as it was then."""
    told: str


def note(rows: Sequence[Model], user_id: int, action: Any, told: str) -> None:
    """One entry for each of `rows`, which are stored (or about to be deleted). To be called in the change's own transaction."""
    LogEntry.objects.log_actions(user_id, rows, action, change_message=told)


def recent(model: type[Model], most: int = 10) -> list[Change]:
    """Of all rows, deleted ones too, newest first."""
    return _changes(most, content_type=ContentType.objects.get_for_model(model))


def history(row: Model, most: int = 20) -> list[Change]:
    """Of one row, newest first."""
    return _changes(most, content_type=ContentType.objects.get_for_model(type(row)), object_id=str(row.pk))


def _changes(most: int, **lookup: Any) -> list[Change]:
    found = LogEntry.objects.filter(**lookup).select_related("user", "content_type")[:most]
    return [
        Change(
            each.action_time,
            each.user.get_username(),
            each.object_repr,
            each.get_change_message() or ("Deleted." if each.is_deletion() else "Changed."),
        )
        for each in found
    ]
