"""Which variants are offered, to whom, and whether they can run: what every page and API that takes requests asks first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth import get_user_model

from inference.web.crossing.database_thread import reading
from models_app.catalog import access
from models_app.catalog.access import Access, restrictions
from models_app.models import Variant

NOTHING = Access(frozenset(), is_administrator=False)


@dataclass(frozen=True, slots=True)
class OfferedVariant:
    """An enabled variant, as people pick it and programs name it."""

    pk: int
    name: str
    size_bytes: int
    created_at: datetime
    repository: str
    unusable_reason: str | None
    """Why it cannot run, in sentences; None where it can, as far as is known."""
    restricted_to: frozenset[int] = frozenset()
    """Ids of the groups whose members alone may use it; everybody may where there are none."""


@reading
def offered_variants() -> list[OfferedVariant]:
    """Every enabled variant, those that cannot run too. Raises StorageFailed."""
    kept = restrictions()
    return [
        OfferedVariant(
            each.pk,
            each.name,
            each.size_bytes,
            each.created_at,
            each.repository.name,
            unusable_reason=unusable_reason_now(each),
            restricted_to=kept.get(each.pk, frozenset()),
        )
        for each in Variant.objects.filter(enabled=True).select_related("repository")
    ]


@reading
def access_of(user_id: int) -> Access:
    """What this person may use; somebody who is not there any more, nothing that is kept. Raises StorageFailed."""
    return access_now(user_id)


def access_now(user_id: int) -> Access:
    """As `access_of`. Blocks."""
    user = get_user_model().objects.filter(pk=user_id).first()
    return NOTHING if user is None else access.access_of(user)


async def offered_to(user_id: int) -> list[OfferedVariant]:
    """Those that this person may use, as `offered_variants` has them. Raises StorageFailed."""
    offered = await offered_variants()
    if not any(each.restricted_to for each in offered):
        return offered
    access_of_person = await access_of(user_id)
    return [each for each in offered if access_of_person.allows(each.restricted_to)]


def unusable_reason_now(variant: Variant) -> str | None:
    """`variant.unusable_reason`, unless it is over: a disk that is mounted again needs no scan to be used. Blocks on the disk."""
    if variant.missing_since is not None and not variant.problem:
        paths = list(variant.shards.values_list("path", flat=True))
        if paths and all(os.path.exists(path) for path in paths):
            return None
    return variant.unusable_reason
