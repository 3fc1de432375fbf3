"""Repositories of the Hub as the pages show them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from models_app.gguf.quantization import described
from models_app.hub.names import Contents, RemoteVariant
from models_app.hub.records import FoundRepository
from models_app.intake.space import DiskSpace
from models_app.units import format_bytes, format_params


@dataclass(frozen=True, slots=True)
class FoundView:
    owner: str
    name: str
    facts: str
    """`8.03B parameters · llama · 1.2M downloads`."""
    gated: bool
    private: bool
    updated_at: datetime | None


def found_view(found: FoundRepository) -> FoundView:
    owner, _slash, name = found.name.rpartition("/")
    facts = []
    if found.n_params:
        facts.append(_("{n} parameters").format(n=format_params(found.n_params)))
    if found.architecture:
        facts.append(found.architecture)
    if found.n_ctx_train:
        facts.append(_("{n} tokens of context").format(n=f"{found.n_ctx_train:,}"))
    if found.downloads is not None:
        facts.append(
            ngettext("{n} download in a month", "{n} downloads in a month", found.downloads).format(
                n=_count(found.downloads)
            )
        )
    if found.likes:
        facts.append(ngettext("{n} like", "{n} likes", found.likes).format(n=_count(found.likes)))
    return FoundView(owner, name, " · ".join(facts), found.gated, found.private, found.updated_at)


def _count(count: int) -> str:
    return f"{count:,}" if count < 10_000 else format_params(count)


@dataclass(frozen=True, slots=True)
class RemoteVariantView:
    key: str
    file: str
    """What people see of the key: the file's name, with its folder."""
    quantization: str
    description: str
    size: str
    n_files: int
    is_verifiable: bool
    room: str
    """Why the disk has no room; "" where it has."""
    here: str
    """The variant in the inventory that has the same bytes, by name; "" where none has."""
    job_id: int | None
    """Of the download that is under way; None where none is."""


def variant_views(
    contents: Contents, room_for: Mapping[str, DiskSpace], here: Mapping[str, str], coming: Mapping[str, int]
) -> list[RemoteVariantView]:
    """What the page shows of `contents`, in its order. `room_for` by key; `here`: names of variants by their first file's SHA-256; `coming`:
    likewise, the jobs that download."""
    return [_variant_view(each, room_for[each.key], here, coming) for each in contents.variants]


def _variant_view(
    variant: RemoteVariant, room: DiskSpace, here: Mapping[str, str], coming: Mapping[str, int]
) -> RemoteVariantView:
    digest = variant.files[0].sha256 or ""
    lacking = room.lacking_bytes
    return RemoteVariantView(
        key=variant.key,
        file=variant.key,
        quantization=variant.quantization or _("Type not named"),
        description=described(variant.quantization or "") or _("The file's name does not tell how it is quantized."),
        size=format_bytes(variant.size_bytes),
        n_files=len(variant.files),
        is_verifiable=variant.is_verifiable,
        room=_("The disk lacks {size} for it.").format(size=format_bytes(lacking)) if lacking else "",
        here=here.get(digest, ""),
        job_id=coming.get(digest),
    )
