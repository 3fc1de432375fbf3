"""What a variant's page tells: its header, the plan on this machine, what loads took, where it came from. Reads the disk and the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from inference.host.api.messages import HostStatus
from inference.web.models.rows import model_row, states_of
from inference.web.models.usage import Usage, usage_by_variant
from inference.web.plans import badges
from inference.web.plans.rows import rate
from inference.web.plans.what_if import Answer, CannotBePlanned, Changes, answer, estimates_of
from inference.wishes import wishes_of
from inference.wording.times import ago
from models_app.gguf import Header
from models_app.models import Measurement, Repository, Shard, Variant
from models_app.units import format_bytes, format_params

LONGEST_TEMPLATE = 20_000
"""Characters of a chat template that the page shows."""


MATRIX = "an importance matrix"


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
    """And why there is none, as a sentence."""
    if not shards:
        return None, "It has no files."
    try:
        return estimates_of([shard.path for shard in shards]).header, ""
    except CannotBePlanned as cannot:
        return None, cannot.detail


def facts(row: Variant, header: Header | None) -> Iterator[Fact]:
    """What the rows know, and what only the header does, in the order of interest. What neither knows is left out."""
    if row.architecture:
        yield Fact("Architecture", row.architecture)
    if row.n_params is not None:
        yield Fact("Parameters", f"{format_params(row.n_params)} ({row.n_params:,})")
    if row.n_ctx_train is not None:
        yield Fact("Trained with", f"{row.n_ctx_train:,} tokens of context")
    if row.n_layers is not None:
        yield Fact("Layers", f"{row.n_layers:,}")
    if header is not None:
        yield from _shape(header)
    if row.kv_bytes_per_token is not None:
        yield Fact("KV cache of one token", f"{format_bytes(row.kv_bytes_per_token)} in f16")
    if row.has_chat_template is not None:
        yield Fact("Chat template", "yes" if row.has_chat_template else "none: it completes text, it does not chat")
    if row.licence:
        yield Fact("Licence", row.licence)
    if row.tags:
        yield Fact("Tags", ", ".join(map(str, row.tags)))


def _shape(header: Header) -> Iterator[Fact]:
    heads, kv_heads = header.n_heads, header.n_kv_heads
    if heads:
        yield Fact("Attention heads", _range(heads) + (f", {_range(kv_heads)} for keys and values" if kv_heads else ""))
    if header.n_embd is not None:
        yield Fact("Embedding", f"{header.n_embd:,} numbers")
    if header.sliding_window:
        yield Fact("Sliding window", f"{header.sliding_window:,} tokens")
    if header.n_experts:
        used = f", {header.n_experts_used} at once" if header.n_experts_used else ""
        yield Fact("Experts", f"{header.n_experts}{used}")
    if header.n_vocab is not None:
        yield Fact("Vocabulary", f"{header.n_vocab:,} tokens")


def _range(numbers: tuple[int, ...]) -> str:
    """`32`, or `8 to 32` where the layers differ."""
    least, most = min(numbers), max(numbers)
    return str(most) if least == most else f"{least} to {most}"


def _template(header: Header | None) -> str:
    text = (header.chat_template if header else None) or ""
    return text if len(text) <= LONGEST_TEMPLATE else text[:LONGEST_TEMPLATE] + "\n…"


def _plan(row: Variant, shards: list[Shard]) -> Answer | None:
    """None where this machine's stored devices make no sense."""
    profile = badges.here()
    if profile is None:
        return None
    return answer(estimates_of([shard.path for shard in shards]), profile, wishes_of(row), Changes())


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
    Repository.Kind.HUB: "the Hub repository {}",
    Repository.Kind.FOLDER: "the folder {}",
    Repository.Kind.PACKAGE: "the installed package {}",
}
_ORIGINS = {
    Variant.Origin.FOUND: "Found in {}",
    Variant.Origin.DOWNLOADED: "Downloaded from {}",
    Variant.Origin.QUANTIZED: "Quantized here",
    Variant.Origin.IMPORTED: "Imported from {}",
    Variant.Origin.UPLOADED: "Uploaded",
}


def provenance(row: Variant, visible: QuerySet[Variant], now: datetime, *, names_files: bool) -> Iterator[Fact]:
    place = _KINDS[Repository.Kind(row.repository.kind)].format(row.repository.name)
    yield Fact("Origin", _ORIGINS[Variant.Origin(row.origin)].format(place))
    made_from = None if row.made_from_id is None else visible.filter(pk=row.made_from_id).first()
    if made_from is not None:
        yield Fact("Made from", made_from.name, reverse("model", args=[made_from.name]))
    if row.recipe:
        # A matrix is called after the variant that it was computed with.
        recipe = row.recipe if names_files or not row.recipe.get("imatrix") else {**row.recipe, "imatrix": MATRIX}
        yield Fact("Recipe", recipe_words(recipe))
    for made in visible.filter(made_from=row).order_by("name"):
        yield Fact("Source of", made.name, reverse("model", args=[made.name]))
    if row.revision:
        yield Fact("Revision", row.revision)
    yield Fact("Added", f"{row.created_at:%Y-%m-%d %H:%M} UTC, {ago(row.created_at, now)}")


def recipe_words(recipe: Mapping[str, Any]) -> str:
    """`Q4_K_M, output q8_0, pure, made by llama-cpp-python 0.3.36`: the choices that were made, none of those that were left."""
    words = [str(recipe.get("type", ""))]
    for name, words_for in (("output_type", "output"), ("embedding_type", "embedding"), ("imatrix", "with")):
        if recipe.get(name):
            words.append(f"{words_for} {recipe[name]}")
    words += [told for name, told in (("pure", "pure"), ("keep_split", "split as its source")) if recipe.get(name)]
    if recipe.get("engine"):
        words.append(f"made by llama-cpp-python {recipe['engine']}")
    return ", ".join(filter(None, words))


# what loads took ----------------------------------------------------------------------------------------------


def _measured(found: Measurement, now: datetime) -> MeasuredRow:
    options = found.options
    how = f"{options.get('n_seq_max')} × {options.get('n_ctx_seq', 0):,} tokens"
    if options.get("n_gpu_layers") is not None:
        how += f", {options['n_gpu_layers']} layers on the GPU"
    estimated, measured = found.estimated_total_bytes, found.measured_total_bytes
    speed = found.decode_tokens_per_second
    return MeasuredRow(
        device=found.device.upper() if found.device == "ram" else found.device,
        how=how,
        measured=format_bytes(measured + (found.overhead_bytes or 0)),
        difference=f"{100 * (estimated - measured) / measured:+.1f} %" if estimated is not None and measured else "",
        speed="" if speed is None else f"{rate(speed)} tokens/s",
        load=f"{found.load_seconds:.1f} s",
        when=ago(found.updated_at, now),
    )
