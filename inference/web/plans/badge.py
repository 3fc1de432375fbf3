"""A placement in two words and a number: what a list of variants shows of each. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inference.core.planning.placement import Alternative, Placement
from inference.web.plans.rows import rate
from inference.wording.placements import reason_of
from models_app.units import format_bytes

Verdict = Literal["fits", "part", "ram", "no", "unknown"]


@dataclass(frozen=True, slots=True)
class Badge:
    verdict: Verdict
    words: str
    """`fits`, `29 of 33 layers`, `RAM only`, `does not fit`."""
    speed: str
    """`42 tokens/s`; "" where nothing fits."""
    detail: str
    """A sentence for a person."""


def badge_of(placement: Placement, n_gpus: int) -> Badge:
    """`n_gpus`: of the machine that it was placed on. In a machine without one, RAM is all there is: what fits there fits."""
    if not placement.alternatives:
        detail = "" if placement.shortfall is None else reason_of(placement.shortfall)
        return Badge("no", "does not fit", "", detail)
    best = placement.alternatives[0]
    verdict, words = _where(best, n_gpus)
    per_second = rate(best.speed.decode_tokens_per_second)
    held = ", ".join(f"{format_bytes(each.total_bytes)} {each.name}" for each in best.devices if each.total_bytes)
    detail = f"About {per_second} tokens/s with {best.n_seq_max} × {best.n_ctx_seq:,} tokens; takes {held}."
    return Badge(verdict, words, f"{per_second} tokens/s", detail)


def unknown_badge(detail: str) -> Badge:
    """`detail`: why nothing can be said, a sentence."""
    return Badge("unknown", "not known", "", detail)


def _where(best: Alternative, n_gpus: int) -> tuple[Verdict, str]:
    if n_gpus == 0:
        return "fits", "fits in RAM"
    if best.n_gpu_layers == 0:
        return "ram", "RAM only"
    n_most = best.n_layers + 1
    if best.n_gpu_layers < n_most:
        return "part", f"{best.n_gpu_layers} of {n_most} layers"
    if best.n_cpu_moe:
        return "part", "experts in RAM"
    return "fits", "fits"
