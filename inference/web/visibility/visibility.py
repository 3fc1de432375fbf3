"""Towards whom the box keeps which variants to itself, as the database has it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from inference.host.api.messages import HostStatus
from inference.web.crossing.ask_host import status_now
from inference.web.crossing.database_thread import DatabaseThread
from inference.web.visibility.redaction import NOTHING_KEPT, Discretion, status_told_to
from models_app.catalog.access import kept_from
from models_app.models import Variant

_reading = DatabaseThread("discretion")


def discretion_for(user: Any) -> Discretion:
    """Staff administers all variants, and knows them. Blocks; three queries at most."""
    if user.is_staff or user.is_superuser:
        return NOTHING_KEPT
    return Discretion(kept_from(user), frozenset(Variant.objects.values_list("pk", flat=True)))


def status_for(user: Any) -> HostStatus | None:
    """The host's status as the person may read it; None where the host does not answer. Blocks."""
    status = status_now()
    return None if status is None else status_told_to(discretion_for(user), status)


@_reading
def discretions(user_ids: Collection[int]) -> dict[int, Discretion]:
    """By user id. Somebody who is not there any more is told nothing of any variant."""
    everything = Discretion(frozenset(Variant.objects.values_list("pk", flat=True)), frozenset())
    users = get_user_model().objects.in_bulk(list(user_ids))
    groups: dict[int, set[int]] = {pk: set() for pk in users}
    for user_id, group_id in Group.user_set.through.objects.filter(user_id__in=users).values_list(
        "user_id", "group_id"
    ):
        groups[user_id].add(group_id)
    # People of the same groups are told the same: a room full of open pages must not cost queries for each.
    found: dict[tuple[bool, frozenset[int]], Discretion] = {}
    by_user: dict[int, Discretion] = {}
    for pk, user in users.items():
        key = (user.is_staff or user.is_superuser, frozenset(groups[pk]))
        if key not in found:
            found[key] = discretion_for(user)
        by_user[pk] = found[key]
    return {pk: by_user.get(pk, everything) for pk in user_ids}


async def discretion_towards(user_id: int) -> Discretion:
    """Raises StorageFailed."""
    return (await discretions((user_id,)))[user_id]
