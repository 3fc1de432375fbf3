"""What of the inventory a person asked to see: search, filters and order, from a page's query."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from models_app.models import Variant

ORDERS = {
    "name": (_("Name"), ("name",)),
    "size": (_("Largest first"), ("-size_bytes", "name")),
    "small": (_("Smallest first"), ("size_bytes", "name")),
    "used": (_("Last used"), (F("last_used_at").desc(nulls_last=True), "name")),
    "new": (_("Newest"), ("-created_at", "name")),
}
STATES = {
    "usable": _("Usable"),
    "memory": _("In memory"),
    "pinned": _("Pinned"),
    "disabled": _("Disabled"),
    "missing": _("Files missing"),
    "broken": _("Files broken"),
}
LONGEST_SEARCH = 200


@dataclass(frozen=True, slots=True)
class InventoryFilter:
    """What cannot be understood counts as not asked."""

    words: tuple[str, ...] = ()
    architecture: str = ""
    quantization: str = ""
    state: str = ""
    order: str = "name"


def read(query: Mapping[str, str]) -> InventoryFilter:
    state, order = query.get("state", ""), query.get("order", "")
    return InventoryFilter(
        words=tuple(query.get("q", "").replace("\0", "")[:LONGEST_SEARCH].split()),
        architecture=query.get("architecture", "")[:80],
        quantization=query.get("quantization", "")[:40],
        state=state if state in STATES else "",
        order=order if order in ORDERS else "name",
    )


def found(variants: QuerySet[Variant], asked: InventoryFilter, in_memory: Collection[int]) -> QuerySet[Variant]:
    """The variants that the filter leaves, in order. `in_memory`: ids, as the host told. Every word must stand somewhere in a variant's facts."""
    for word in asked.words:
        variants = variants.filter(
            Q(name__icontains=word)
            | Q(architecture__icontains=word)
            | Q(quantization__icontains=word)
            | Q(licence__icontains=word)
            | Q(tags__icontains=word)
            | Q(repository__name__icontains=word)
        )
    if asked.architecture:
        variants = variants.filter(architecture=asked.architecture)
    if asked.quantization:
        variants = variants.filter(quantization=asked.quantization)
    return _in_state(variants, asked.state, in_memory).order_by(*ORDERS[asked.order][1])


def _in_state(variants: QuerySet[Variant], state: str, in_memory: Collection[int]) -> QuerySet[Variant]:
    match state:
        case "usable":
            return variants.filter(enabled=True, missing_since=None, problem="")
        case "memory":
            return variants.filter(pk__in=in_memory)
        case "pinned":
            return variants.filter(pinned=True)
        case "disabled":
            return variants.filter(enabled=False)
        case "missing":
            return variants.exclude(missing_since=None)
        case "broken":
            return variants.exclude(problem="")
    return variants
