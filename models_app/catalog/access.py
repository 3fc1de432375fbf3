"""Who asks, and who may use a variant: everybody, or the members of the groups that its owner named. Administrators may use all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from models_app.models import Variant


@dataclass(frozen=True, slots=True)
class Access:
    """What one person may use."""

    groups: frozenset[int]
    is_administrator: bool

    def allows(self, groups: Collection[int]) -> bool:
        """Whether this person may use a variant that is kept for `groups`; for nobody in particular where there are none."""
        return self.is_administrator or not groups or not self.groups.isdisjoint(groups)


def user_of(request: HttpRequest) -> User:
    """The user who is signed in: for synchronous views that nobody else reaches."""
    user = request.user
    assert user.is_authenticated
    return user


def access_of(user: User) -> Access:
    """One query."""
    return Access(frozenset(user.groups.values_list("pk", flat=True)), user.is_superuser)


def usable_by(user: User, variants: QuerySet[Variant]) -> QuerySet[Variant]:
    """Filters `variants` down to those that the person may use."""
    if user.is_superuser:
        return variants
    kept = Variant.groups.through.objects.exclude(group__in=user.groups.all()).values("variant_id")
    mine = Variant.groups.through.objects.filter(group__in=user.groups.all()).values("variant_id")
    return variants.filter(~Q(pk__in=kept) | Q(pk__in=mine))


def visible_to(user: User, variants: QuerySet[Variant]) -> QuerySet[Variant]:
    """Whoever may not use a variant does not see it among others; staff sees all, to administer it."""
    return variants if user.is_staff else usable_by(user, variants)


def kept_from(user: User) -> frozenset[int]:
    """Ids of the variants whose names the person must not learn, wherever the box tells what it does. At most two queries."""
    if user.is_staff or user.is_superuser:
        return frozenset()
    mine = usable_by(user, Variant.objects.all()).values("pk")
    return frozenset(Variant.objects.exclude(groups=None).exclude(pk__in=mine).values_list("pk", flat=True))


def restrictions() -> dict[int, frozenset[int]]:
    """The groups of every variant that is kept for some, by id. One query."""
    found: dict[int, set[int]] = {}
    for variant_id, group_id in Variant.groups.through.objects.values_list("variant_id", "group_id"):
        found.setdefault(variant_id, set()).add(group_id)
    return {variant_id: frozenset(groups) for variant_id, groups in found.items()}
