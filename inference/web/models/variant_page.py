"""Gathers what a variant's page tells: header, plan, measurements, provenance. Reads the disk and the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from inference.core.loads.devices import RAM
from inference.host.api.messages import HostStatus
from inference.web.models.rows import model_row, states_of
from inference.web.models.usage import Usage, usage_by_variant
from inference.web.plans import badges
from inference.web.plans.rows import rate
from inference.web.plans.what_if import Answer, CannotBePlanned, WhatIfChanges, answer, estimates_of
from inference.wishes import wishes_of
from inference.wording.times import ago
from models_app.gguf import Header
from models_app.models import Measurement, Repository, Shard, Variant
from models_app.units import format_bytes, format_params

LONGEST_TEMPLATE = 20_000
"""Characters of a chat template that the page shows."""


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    value: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """One device's share of one way to load it, as last measured."""

    device: str
    how: str
    measured: str
    difference: str
    """Of the estimate from the measured bytes; "" where the header did not tell."""
    speed: str
    load: str
    when: str


def variant_context(
    row: Variant, host: HostStatus | None, visible: QuerySet[Variant], *, names_files: bool
) -> dict[str, Any]:
    """`visible`: the variants that may be named beside it. `names_files`: whether files of others may be, too. Blocks: a header that was not read lately takes up to a second."""
    now = timezone.now()
    shards = list(row.shards.order_by("number"))
    header, unread = _header(shards)
    states = states_of(host["residents"]) if host else {}
    usage = usage_by_variant(row.pk).get(row.pk, Usage())
    return {
        "variant": row,
        "row": model_row(row, states, None, usage, now),
        "facts": list(facts(row, header)),
        "unread": unread,
        "template": _template(header),
        "plan": _plan(row, shards) if header else None,
        "shards": [_shard(each) for each in shards],
        "provenance": list(provenance(row, visible, now, names_files=names_files)),
        "measured": [_measured(each, now) for each in row.measurements.order_by("-updated_at", "device")[:12]],
        "usage": usage,
        "host_answers": host is not None,
    }


# the header ---------------------------------------------------------------------------------------------------


def _header(shards: list[Shard]) -> tuple[Header | None, str]:
    """The header, or why there is none, as a sentence."""
    if not shards:
        return None, _("It has no files.")
    try:
        return estimates_of([shard.path for shard in shards]).header, ""
    except CannotBePlanned as cannot:
        return None, cannot.detail


def facts(row: Variant, header: Header | None) -> Iterator[Fact]:
    """What the rows know, and what only the header does, in the order of interest. What neither knows is left out."""
    if row.architecture:
        yield Fact(_("Architecture"), row.architecture)
    if row.n_params is not None:
        yield Fact(_("Parameters"), f"{format_params(row.n_params)} ({row.n_params:,})")
    if row.n_ctx_train is not None:
        yield Fact(_("Trained with"), _("{n} tokens of context").format(n=f"{row.n_ctx_train:,}"))
    if row.n_layers is not None:
        yield Fact(_("Layers"), f"{row.n_layers:,}")
    if header is not None:
        yield from _shape(header)
    if row.kv_bytes_per_token is not None:
        yield Fact(_("KV cache of one token"), _("{size} in f16").format(size=format_bytes(row.kv_bytes_per_token)))
    if row.has_chat_template is not None:
        yield Fact(
            _("Chat template"),
            _("yes") if row.has_chat_template else _("none: it completes text, it does not chat"),
        )
    if row.licence:
        yield Fact(_("Licence"), row.licence)
    if row.tags:
        yield Fact(_("Tags"), ", ".join(map(str, row.tags)))


def _shape(header: Header) -> Iterator[Fact]:
    heads, kv_heads = header.n_heads, header.n_kv_heads
    if heads:
        words = _("{heads}, {kv_heads} for keys and values") if kv_heads else "{heads}"
        shown = words.format(heads=_range(heads), kv_heads=_range(kv_heads) if kv_heads else "")
        yield Fact(_("Attention heads"), shown)
    if header.n_embd is not None:
        yield Fact(_("Embedding"), _("{n} numbers").format(n=f"{header.n_embd:,}"))
    if header.sliding_window:
        yield Fact(_("Sliding window"), _("{n} tokens").format(n=f"{header.sliding_window:,}"))
    if header.n_experts:
        words = _("{n}, {n_used} at once") if header.n_experts_used else "{n}"
        yield Fact(_("Experts"), words.format(n=header.n_experts, n_used=header.n_experts_used))
    if header.n_vocab is not None:
        yield Fact(_("Vocabulary"), _("{n} tokens").format(n=f"{header.n_vocab:,}"))


def _range(numbers: tuple[int, ...]) -> str:
    """`32`, or `8 to 32` where the layers differ."""
    least, most = min(numbers), max(numbers)
    return str(most) if least == most else _("{least} to {most}").format(least=least, most=most)


def _template(header: Header | None) -> str:
    text = (header.chat_template if header else None) or ""
    return text if len(text) <= LONGEST_TEMPLATE else text[:LONGEST_TEMPLATE] + "\n…"


def _plan(row: Variant, shards: list[Shard]) -> Answer | None:
    """None where this machine's stored devices make no sense."""
    profile = badges.here()
    if profile is None:
        return None
    return answer(estimates_of([shard.path for shard in shards]), profile, wishes_of(row), WhatIfChanges())


# where it is, and whence it came ------------------------------------------------------------------------------


def _shard(shard: Shard) -> dict[str, Any]:
    return {
        "number": shard.number,
        "path": shard.path,
        "file": shard.path.rpartition("/")[2],
        "size": format_bytes(shard.size_bytes),
        "sha256": shard.sha256,
        "verified_at": shard.verified_at,
        "other_sha256": shard.other_sha256,
    }


_KINDS = {
    Repository.Kind.HUB: gettext_lazy("the Hub repository {name}"),
    Repository.Kind.FOLDER: gettext_lazy("the folder {name}"),
    Repository.Kind.PACKAGE: gettext_lazy("the installed package {name}"),
}
_ORIGINS = {
    Variant.Origin.FOUND: gettext_lazy("Found in {place}"),
    Variant.Origin.DOWNLOADED: gettext_lazy("Downloaded from {place}"),
    Variant.Origin.QUANTIZED: gettext_lazy("Quantized here"),
    Variant.Origin.IMPORTED: gettext_lazy("Imported from {place}"),
    Variant.Origin.UPLOADED: gettext_lazy("Uploaded"),
}


def provenance(row: Variant, visible: QuerySet[Variant], now: datetime, *, names_files: bool) -> Iterator[Fact]:
    place = _KINDS[Repository.Kind(row.repository.kind)].format(name=row.repository.name)
    yield Fact(_("Origin"), _ORIGINS[Variant.Origin(row.origin)].format(place=place))
    made_from = None if row.made_from_id is None else visible.filter(pk=row.made_from_id).first()
    if made_from is not None:
        yield Fact(_("Made from"), made_from.name, reverse("model", args=[made_from.name]))
    if row.recipe:
        # A matrix is called after the variant that it was computed with.
        recipe = (
            row.recipe
            if names_files or not row.recipe.get("imatrix")
            else {**row.recipe, "imatrix": _("an importance matrix")}
        )
        yield Fact(_("Recipe"), recipe_words(recipe))
    for made in visible.filter(made_from=row).order_by("name"):
        yield Fact(_("Source of"), made.name, reverse("model", args=[made.name]))
    if row.revision:
        yield Fact(_("Revision"), row.revision)
    yield Fact(
        _("Added"), _("{time} UTC, {ago}").format(time=f"{row.created_at:%Y-%m-%d %H:%M}", ago=ago(row.created_at, now))
    )


def recipe_words(recipe: Mapping[str, Any]) -> str:
    """`Q4_K_M, output q8_0, pure, made by llama-cpp-python 0.3.36`: the choices that were made, none of those that were left."""
    made = {
        "type": "{value}",
        "output_type": _("output {value}"),
        "embedding_type": _("embedding {value}"),
        "imatrix": _("with {value}"),
        "pure": _("pure"),
        "keep_split": _("split as its source"),
        "engine": _("made by llama-cpp-python {value}"),
    }
    return ", ".join(words.format(value=recipe[name]) for name, words in made.items() if recipe.get(name))


# what loads took ----------------------------------------------------------------------------------------------


def _measured(found: Measurement, now: datetime) -> MeasuredRow:
    options = found.options
    n_slots, n_layers = options.get("n_seq_max"), options.get("n_gpu_layers")
    how = _("{n_slots} × {n} tokens").format(n_slots=n_slots, n=f"{options.get('n_ctx_seq', 0):,}")
    if n_layers is not None:
        on_gpu = ngettext("{n} layer on the GPU", "{n} layers on the GPU", n_layers).format(n=n_layers)
        how = f"{how}, {on_gpu}"
    estimated, measured = found.estimated_total_bytes, found.measured_total_bytes
    speed = found.decode_tokens_per_second
    return MeasuredRow(
        device=found.device.upper() if found.device == RAM else found.device,
        how=how,
        measured=format_bytes(measured + (found.overhead_bytes or 0)),
        difference=f"{100 * (estimated - measured) / measured:+.1f} %" if estimated is not None and measured else "",
        speed="" if speed is None else _("{rate} tokens/s").format(rate=rate(speed)),
        load=f"{found.load_seconds:.1f} s",
        when=ago(found.updated_at, now),
    )
