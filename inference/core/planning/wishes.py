"""What the owner wants of a variant, as placement weighs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Wish = Literal["n_ctx_seq", "n_gpu_layers", "may_leave_gpu"]
"""Those that can stand in the way of any placement, by their names in Wishes."""


@dataclass(frozen=True, slots=True)
class Wishes:
    n_ctx_seq: int = 4096
    """Preferred context of a slot."""
    least_n_ctx_seq: int | None = None
    """Least acceptable; None: no less than preferred."""
    n_seq_max: int = 1
    may_quantize_kv: bool = True
    may_leave_gpu: bool = True
    n_gpu_layers: int | None = None
    """Fixed by the owner. None: as many as fit."""
    n_ubatches: tuple[int, ...] = (512, 128)
    """Tokens that are computed together, as tried: the largest first."""
    n_outputs: int | None = None
    """Rows of logits. None: one a sequence."""
