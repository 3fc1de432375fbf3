"""A variant's row as placement's wishes."""

from __future__ import annotations

from inference.core.planning.wishes import Wishes
from models_app.models import Variant


def wishes_of(variant: Variant) -> Wishes:
    return Wishes(
        n_ctx_seq=variant.n_ctx_seq,
        least_n_ctx_seq=variant.least_n_ctx_seq,
        n_seq_max=variant.n_seq_max,
        may_quantize_kv=variant.may_quantize_kv,
        may_leave_gpu=variant.may_leave_gpu,
        n_gpu_layers=variant.n_gpu_layers,
    )
