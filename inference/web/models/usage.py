"""Who uses a variant: conversations that go on with it. Numbers for everybody, names for those who see the conversations' list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from inference.models import Conversation


@dataclass(frozen=True, slots=True)
class Usage:
    n_conversations: int = 0
    n_people: int = 0

    @property
    def words(self) -> str:
        """`3 conversations of 2 people`; "" for none."""
        if not self.n_conversations:
            return ""
        n = self.n_conversations
        conversations = ngettext("{n} conversation", "{n} conversations", n).format(n=f"{n:,}")
        people = ngettext("{n} person", "{n} people", self.n_people).format(n=f"{self.n_people:,}")
        return _("{conversations} of {people}").format(conversations=conversations, people=people)


def usage_by_variant(*variant_ids: int) -> Mapping[int, Usage]:
    """By id, those that anybody uses; of all variants where none is named. One query."""
    found = Conversation.objects.exclude(variant=None)
    if variant_ids:
        found = found.filter(variant_id__in=variant_ids)
    counted = found.values_list("variant_id").annotate(n=Count("pk"), people=Count("owner", distinct=True)).order_by()
    return {variant_id: Usage(n, people) for variant_id, n, people in counted}


def people_of(variant_id: int) -> list[tuple[str, int]]:
    """Username and conversations, most first. For administrators."""
    found = Conversation.objects.filter(variant_id=variant_id).values_list("owner__username")
    return list(found.annotate(n=Count("pk")).order_by("-n", "owner__username"))
