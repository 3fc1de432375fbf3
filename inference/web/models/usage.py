"""Who uses a variant: conversations that go on with it. Numbers for everybody, names for those who see the conversations' list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count

from inference.models import Conversation


@dataclass(frozen=True, slots=True)
class Use:
    n_conversations: int = 0
    n_people: int = 0

    @property
    def words(self) -> str:
        """`3 conversations of 2 people`; "" for none."""
        if not self.n_conversations:
            return ""
        conversations = _counted(self.n_conversations, "conversation", "conversations")
        return f"{conversations} of {_counted(self.n_people, 'person', 'people')}"


def _counted(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def use_by_variant(*variant_ids: int) -> Mapping[int, Use]:
    """By id, those that anybody uses; of all variants where none is named. One query."""
    found = Conversation.objects.exclude(variant=None)
    if variant_ids:
        found = found.filter(variant_id__in=variant_ids)
    counted = found.values_list("variant_id").annotate(n=Count("pk"), people=Count("owner", distinct=True)).order_by()
    return {variant_id: Use(n, people) for variant_id, n, people in counted}


def people_of(variant_id: int) -> list[tuple[str, int]]:
    """Username and conversations, most first. For administrators."""
    found = Conversation.objects.filter(variant_id=variant_id).values_list("owner__username")
    return list(found.annotate(n=Count("pk")).order_by("-n", "owner__username"))
