"""The variants of one model beside each other: size against quality, and speed. Reads the database.

What is drawn is decided here, in the plot's own units; the template only writes it down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import sqrt

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from inference.jobs.orders import base_name
from inference.jobs.texts import TEXT_NAME
from inference.web.plans import badges
from inference.web.plans.rows import rate
from inference.wording import names
from models_app.hardware import Profile
from models_app.models import Quality, Variant
from models_app.units import format_bytes

WIDTH, HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 16, 40
_SMALLEST_DOT, _LARGEST_DOT = 4.0, 11.0
_TICKS = 4


class Comparison(Enum):
    """How a variant stands to the best of its siblings."""

    NOT_MEASURED = "not_measured"
    REFERENCE = "reference"
    """It is what the others were compared with, or was alone."""
    STALE = "stale"
    """It was compared with another one than its siblings, or on another text."""
    COMPARED = "compared"


@dataclass(frozen=True, slots=True)
class Row:
    """One variant, as the table shows it; "" for what was not measured."""

    pk: int
    name: str
    label: str
    """Its quantization; its name where that says more."""
    size_bytes: int
    size: str
    is_own: bool
    perplexity: str
    comparison: Comparison
    divergence: str
    same_top: str
    decode: str
    prefill: str
    load: str
    loss: float | None
    """Nats from the best sibling; 0 for that one itself; None: not measured, or from another one than its siblings."""
    speed: float | None


@dataclass(frozen=True, slots=True)
class Dot:
    name: str
    label: str
    x: float
    y: float
    radius: float
    sentence: str
    is_own: bool
    label_end: bool
    """Whether the label stands left of the dot, for want of room on its right."""


@dataclass(frozen=True, slots=True)
class PlotTick:
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    dots: tuple[Dot, ...]
    sizes: tuple[PlotTick, ...]
    losses: tuple[PlotTick, ...]
    budget_x: float | None
    """Where this box's budget ends; None where that lies outside."""
    budget: str
    sentence: str
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True)
class Siblings:
    rows: tuple[Row, ...]
    plot: Plot | None
    """None with less than two that can be compared."""
    measured: Quality | None
    """The variant's own."""
    compared_with: str
    """Whom that was compared with, as the reader may know it; "" for nobody."""


def siblings(variant: Variant, visible: QuerySet[Variant] | None = None) -> Siblings:
    """The variant beside its siblings among `visible`; None: among all."""
    base = base_name(variant.name)
    every = Variant.objects.all() if visible is None else visible
    same = every.filter(architecture=variant.architecture, n_params=variant.n_params).select_related(
        "quality__reference"
    )
    family = [
        each
        for each in same
        if each.pk == variant.pk or (variant.n_params is not None and base_name(each.name) == base)
    ]
    own = next((_quality(each) for each in family if each.pk == variant.pk), None)
    reference = _reference(family)
    often = Counter(each.quantization for each in family)
    rows = sorted(
        (_row(each, variant, reference, each.quantization if often[each.quantization] == 1 else "") for each in family),
        key=lambda row: -row.size_bytes,
    )
    return Siblings(tuple(rows), plot(rows, badges.here()), own, "" if own is None else _compared(own, visible))


def _compared(own: Quality, visible: QuerySet[Variant] | None) -> str:
    if not own.reference_name or visible is None or visible.filter(pk=own.reference_id or 0).exists():
        return own.reference_name
    return names.gone() if own.reference_id is None else names.kept()


def _quality(variant: Variant) -> Quality | None:
    try:
        return variant.quality
    except Quality.DoesNotExist:
        return None


def _reference(family: Sequence[Variant]) -> str | None:
    """The name of the largest that any of them was compared with, on the text of now."""
    sizes = {each.name: each.size_bytes for each in family}
    compared = [_compared_with(each, found) for each in family if (found := _quality(each)) and found.text == TEXT_NAME]
    return max(compared, key=lambda name: (sizes.get(name, 0), name), default=None)


def _compared_with(variant: Variant, found: Quality) -> str:
    """The name of what it was compared with; its own where it was alone."""
    return found.reference.name if found.reference else found.reference_name or variant.name


def _row(each: Variant, own: Variant, reference: str | None, label: str) -> Row:
    found = _quality(each)
    comparison = _comparison(each, found, reference)
    is_stale = comparison is Comparison.STALE
    loss = None if found is None or is_stale else found.kl_divergence or 0.0
    return Row(
        pk=each.pk,
        name=each.name,
        label=label or each.name,
        size_bytes=each.size_bytes,
        size=format_bytes(each.size_bytes),
        is_own=each.pk == own.pk,
        perplexity=f"{found.perplexity:.2f} ± {found.perplexity_error:.2f}"
        if found and found.text == TEXT_NAME
        else "",
        comparison=comparison,
        divergence=_divergence(comparison, found),
        same_top=f"{100 * found.same_top:.1f} %" if found and found.same_top is not None and not is_stale else "",
        decode=_speed(found.decode_tokens_per_second) if found else "",
        prefill=_speed(found.prefill_tokens_per_second) if found else "",
        load=f"{found.load_seconds:.1f} s" if found and found.load_seconds is not None else "",
        loss=loss,
        speed=found.decode_tokens_per_second if found else None,
    )


def _comparison(variant: Variant, found: Quality | None, reference: str | None) -> Comparison:
    if found is None:
        return Comparison.NOT_MEASURED
    if found.text != TEXT_NAME or _compared_with(variant, found) != reference:
        return Comparison.STALE
    return Comparison.REFERENCE if found.kl_divergence is None else Comparison.COMPARED


def _divergence(comparison: Comparison, found: Quality | None) -> str:
    if comparison is Comparison.STALE:
        return _("measure again")
    if comparison is Comparison.REFERENCE:
        return _("the reference")
    loss = None if found is None else found.kl_divergence
    if loss is None:
        return ""
    return f"{loss:.4f}" if loss < 0.1 else f"{loss:.2f}"


def _speed(per_second: float | None) -> str:
    return "" if per_second is None else _("{rate} tokens/s").format(rate=rate(per_second))


# the plot -----------------------------------------------------------------------------------------------------


def plot(rows: Sequence[Row], profile: Profile | None) -> Plot | None:
    """Pure. Sizes to the right, losses upwards."""
    told = [row for row in rows if row.loss is not None]
    if len(told) < 2:
        return None
    budget_bytes = _budget(profile)
    most_bytes = max(row.size_bytes for row in told) * 1.15
    if budget_bytes is not None and budget_bytes < 2 * most_bytes:
        most_bytes = max(most_bytes, budget_bytes * 1.05)
    most_loss = max(max(row.loss or 0.0 for row in told) * 1.2, 1e-3)
    fastest = max((row.speed or 0.0 for row in told), default=0.0)

    def x(n_bytes: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * n_bytes / most_bytes, 1)

    def y(loss: float) -> float:
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * loss / most_loss, 1)

    dots = tuple(
        Dot(
            name=row.name,
            label=row.label,
            x=x(row.size_bytes),
            y=y(row.loss or 0.0),
            radius=_radius(row.speed, fastest),
            sentence=_sentence(row),
            is_own=row.is_own,
            label_end=x(row.size_bytes) > WIDTH * 0.8,
        )
        for row in told
    )
    is_inside = budget_bytes is not None and budget_bytes <= most_bytes
    return Plot(
        dots=dots,
        sizes=tuple(
            PlotTick(x(most_bytes * n / _TICKS), format_bytes(int(most_bytes * n / _TICKS))) for n in range(1, _TICKS)
        ),
        losses=tuple(PlotTick(y(most_loss * n / _TICKS), f"{most_loss * n / _TICKS:.2g}") for n in range(_TICKS)),
        budget_x=x(budget_bytes) if is_inside and budget_bytes is not None else None,
        budget="" if budget_bytes is None else format_bytes(budget_bytes),
        sentence=_("Size against quality lost: {variants}.").format(variants="; ".join(map(_sentence, told))),
    )


def _budget(profile: Profile | None) -> int | None:
    """The budget of all GPUs together; of the RAM on a box without one."""
    if profile is None:
        return None
    return sum(gpu.budget_bytes for gpu in profile.gpus) or profile.ram.budget_bytes


def _radius(speed: float | None, fastest: float) -> float:
    """By area, as eyes compare dots."""
    if not speed or not fastest:
        return _SMALLEST_DOT
    return round(_SMALLEST_DOT + (_LARGEST_DOT - _SMALLEST_DOT) * sqrt(speed / fastest), 1)


def _sentence(row: Row) -> str:
    is_reference = row.comparison is Comparison.REFERENCE
    words = _("{name}: {size}, the reference") if is_reference else _("{name}: {size}, quality lost: {loss}")
    words = words.format(name=row.name, size=row.size, loss=row.divergence)
    return f"{words}, {row.decode}" if row.decode else words
