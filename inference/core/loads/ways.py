"""One way to load a variant, as planning hands it to scheduling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inference.core.loads.options import LoadOptions


@dataclass(frozen=True, slots=True)
class LoadWay:
    """One way to load a variant: what its worker is told, and what it then holds."""

    options: LoadOptions
    bytes_by_device: Mapping[str, int]
    """By `Pool.device`; measured where such a load was measured before, else estimated."""
    overhead_by_device: Mapping[str, int] = field(default_factory=dict)
    """The part of `bytes_by_device` that no worker can count: a CUDA context lies outside of all its buffers."""
    decode_tokens_per_second: float | None = None
    """Predicted, of one slot. None: the devices' bandwidths are not known."""
    score: float = 1.0
    """Speed and comfort together, as placement ranks: twice the score is worth waiting for."""
