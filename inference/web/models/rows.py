"""From variants' rows to what `/models/` shows of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from inference.core.loads.vocabulary import ResidencyState
from inference.host.api.messages import ResidentVariant
from inference.web.models.usage import Usage
from inference.web.plans.badge import Badge
from inference.wording.residency import state_words
from inference.wording.times import ago
from models_app.gguf.quantization import described
from models_app.models import Variant
from models_app.units import format_bytes, format_params


@dataclass(frozen=True, slots=True)
class ModelRow:
    pk: int
    name: str
    size: str
    quantization: str
    explained: str
    """The quantization type in words; "" for one that nobody has words for."""
    facts: str
    """`llama · 8.03B · trained for 8,192 tokens`."""
    state: str
    state_words: str
    pinned: bool
    enabled: bool
    unusable_reason: str
    badge: Badge | None
    """None: not worked out yet."""
    used: str
    """`3 days ago · 2 conversations of 1 person`; "" for never."""


def model_row(
    variant: Variant, residents: Mapping[int, ResidencyState], badge: Badge | None, usage: Usage, now: datetime
) -> ModelRow:
    """What the list shows of a variant. `residents`: states by variant id, as the host told; others are on disk."""
    state = residents.get(variant.pk, "absent")
    return ModelRow(
        pk=variant.pk,
        name=variant.name,
        size=format_bytes(variant.size_bytes),
        quantization=variant.quantization,
        explained=described(variant.quantization) or "",
        facts=" · ".join(_facts(variant)),
        state=state,
        state_words=state_words(state),
        pinned=variant.pinned,
        enabled=variant.enabled,
        unusable_reason=variant.unusable_reason or "",
        badge=badge,
        used=" · ".join(filter(None, (last_used(variant, now), usage.words))),
    )


def states_of(residents: Iterable[ResidentVariant]) -> dict[int, ResidencyState]:
    """By variant id, of their chats: a worker that only reads for a job says nothing of them."""
    return {each["variant_id"]: each["state"] for each in residents if each["purpose"] == "chat"}


def last_used(variant: Variant, now: datetime) -> str:
    return "" if variant.last_used_at is None else ago(variant.last_used_at, now)


def _facts(variant: Variant) -> Iterable[str]:
    if variant.architecture:
        yield variant.architecture
    if variant.n_params is not None:
        yield format_params(variant.n_params)
    if variant.n_ctx_train is not None:
        yield _("{n} tokens").format(n=f"{variant.n_ctx_train:,}")
