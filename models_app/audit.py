"""Who changed what, and when: every change goes into the admin's log, wherever it was made; what nobody signed in did, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

__all__ = [
    "ADDITION",
    "CHANGE",
    "DELETION",
    "THE_BOX",
    "Change",
    "history",
    "outlive",
    "recent",
    "record",
    "record_named",
]

THE_BOX = "the box"
"""Who did what nobody signed in did: on the console, or in a job that nobody began. With its space it is no name that a person
can take."""


@dataclass(frozen=True, slots=True)
class Change:
    at: datetime
    who: str
    what: str
    """The row's name, as it was then."""
    message: str


def record(rows: Sequence[Model], user_id: int | None, action: Any, message: str) -> None:
    """Writes one entry for each of `rows`; without a user it was the box.

    The rows are stored, or about to be deleted. To be called in the change's own transaction.
    """
    if rows:
        LogEntry.objects.log_actions(_who(user_id), rows, action, change_message=message)


def record_named(what: str, user_id: int | None, action: Any, message: str) -> None:
    """Writes an entry about something that is no row, such as a file."""
    longest = LogEntry._meta.get_field("object_repr").max_length
    LogEntry.objects.create(
        user_id=_who(user_id), object_repr=what[:longest], action_flag=action, change_message=message
    )


def outlive(users: Sequence[User]) -> None:
    """Keeps in the log what these people did, with their names. To be called right before their accounts go."""
    names = {user.pk: user.get_username() for user in users}
    entries = list(LogEntry.objects.filter(user__in=names))
    for entry in entries:
        entry.change_message = f"{names[entry.user_id]}, whose account is gone: {_message(entry)}"
        entry.user_id = _who(None)
    LogEntry.objects.bulk_update(entries, ["change_message", "user"], batch_size=500)


def _message(entry: LogEntry) -> str:
    """What the entry says. The admin itself may leave it empty."""
    return entry.get_change_message() or ("Deleted." if entry.is_deletion() else "Changed.")


def _who(user_id: int | None) -> int:
    if user_id is not None:
        return user_id
    unusable = {"is_active": False, "password": make_password(None)}
    account = get_user_model()._base_manager.get_or_create(username=THE_BOX, defaults=unusable)[0]
    return int(account.pk)


def recent(model: type[Model], most: int = 10) -> list[Change]:
    """The last changes of any row of that table, newest first, deleted rows too."""
    return _changes(most, content_type=ContentType.objects.get_for_model(model))


def history(row: Model, most: int = 20) -> list[Change]:
    """The last changes of one row, newest first."""
    return _changes(most, content_type=ContentType.objects.get_for_model(type(row)), object_id=str(row.pk))


def _changes(most: int, **lookup: Any) -> list[Change]:
    found = LogEntry.objects.filter(**lookup).select_related("user", "content_type")[:most]
    return [
        Change(
            each.action_time,
            each.user.get_username(),
            each.object_repr,
            _message(each),
        )
        for each in found
    ]
