"""A placement in two words and a number: what a list of variants shows of each. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from inference.core.planning.fit import Fit, fit_of
from inference.core.planning.footprint import CannotTell
from inference.core.planning.placement import PlacedWay, Placement
from inference.web.plans.rows import rate
from inference.web.plans.what_if import CannotBePlanned
from inference.wording.placements import reason_of, unknown_reason
from models_app.hardware import Profile
from models_app.units import format_bytes


@dataclass(frozen=True, slots=True)
class Badge:
    fit: Fit
    words: str
    """`fits`, `29 of 33 layers`, `RAM only`, `does not fit`."""
    speed: str
    """`42 tokens/s`; "" where nothing fits."""
    detail: str
    """A sentence for a person."""


Planned = Placement | CannotTell | CannotBePlanned
"""What came of planning a variant: facts that can be kept, for readers of any language."""


def badge_of(planned: Planned, profile: Profile) -> Badge:
    """Words the plan in the reader's language. `profile`: what it was planned for."""
    if isinstance(planned, CannotTell):
        return unknown_badge(unknown_reason(planned))
    return unknown_badge(planned.detail) if isinstance(planned, CannotBePlanned) else _placed_badge(planned, profile)


def _placed_badge(placement: Placement, profile: Profile) -> Badge:
    fit = fit_of(placement, profile)
    if not placement.ways:
        detail = "" if placement.shortfall is None else reason_of(placement.shortfall)
        return Badge(fit, _("does not fit"), "", detail)
    best = placement.ways[0]
    speed = _("{rate} tokens/s").format(rate=rate(best.speed.decode_tokens_per_second))
    detail = _("About {speed} with {n_slots} × {n_tokens} tokens; takes {held}.").format(
        speed=speed,
        n_slots=best.n_seq_max,
        n_tokens=f"{best.n_ctx_seq:,}",
        held=", ".join(f"{format_bytes(each.total_bytes)} {each.name}" for each in best.devices if each.total_bytes),
    )
    return Badge(fit, _words(fit, best, bool(profile.gpus)), speed, detail)


def unknown_badge(detail: str) -> Badge:
    """`detail`: why nothing can be said, a sentence."""
    return Badge(Fit.UNKNOWN, _("not known"), "", detail)


def _words(fit: Fit, best: PlacedWay, has_gpu: bool) -> str:
    if fit is Fit.WHOLE:
        return _("fits") if has_gpu else _("fits in RAM")
    if fit is Fit.RAM:
        return _("RAM only")
    n_most = best.n_layers + 1
    if best.n_gpu_layers < n_most:
        return _("{n} of {n_most} layers").format(n=best.n_gpu_layers, n_most=n_most)
    return _("experts in RAM")
