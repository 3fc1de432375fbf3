"""Who may see and name what, as the database has it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from inference.host.api.messages import HostStatus
from inference.web.crossing.ask_host import status_now
from inference.web.crossing.database_thread import DatabaseThread
from inference.web.visibility.visibility import NOTHING, Visibility
from models_app.catalog.access import kept_from
from models_app.models import Variant

_reading = DatabaseThread("visibility")


def visibility_for(user: Any) -> Visibility:
    """Staff administers all variants, and knows them. Blocks; three queries at most."""
    if user.is_staff or user.is_superuser:
        return visibility_at_the_console()
    called = Variant.objects.values_list("pk", "name")
    kept = frozenset(kept_from(user))
    return Visibility(frozenset(each for each in called if each[0] not in kept), kept)


def visibility_at_the_console() -> Visibility:
    """Of who runs the box. Blocks; one query."""
    return Visibility(frozenset(Variant.objects.values_list("pk", "name")), is_all=True)


def status_for(user: Any) -> HostStatus | None:
    """The host's status as the person may read it; None where the host does not answer. Blocks."""
    status = status_now()
    return None if status is None else visibility_for(user).status(status)


@_reading
def visibilities(user_ids: Collection[int]) -> dict[int, Visibility]:
    """By user id."""
    users = get_user_model().objects.in_bulk(list(user_ids))
    groups: dict[int, set[int]] = {pk: set() for pk in users}
    for user_id, group_id in Group.user_set.through.objects.filter(user_id__in=users).values_list(
        "user_id", "group_id"
    ):
        groups[user_id].add(group_id)
    # People of the same groups are told the same: a room full of open pages must not cost queries for each.
    found: dict[tuple[bool, frozenset[int]], Visibility] = {}
    by_user: dict[int, Visibility] = {}
    for pk, user in users.items():
        key = (user.is_staff or user.is_superuser, frozenset(groups[pk]))
        if key not in found:
            found[key] = visibility_for(user)
        by_user[pk] = found[key]
    return {pk: by_user.get(pk, NOTHING) for pk in user_ids}


async def visibility_of(user_id: int) -> Visibility:
    """Raises StorageFailed."""
    return (await visibilities((user_id,)))[user_id]
