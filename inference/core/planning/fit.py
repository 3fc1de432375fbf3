"""Where the best way puts a variant, in one word: what badges, lists and recommendations compare."""

from __future__ import annotations

from enum import Enum

from inference.core.planning.placement import PlacedWay, Placement
from models_app.hardware import Profile


class Fit(str, Enum):
    """The values are the wire's and the style sheets'."""

    WHOLE = "whole"
    """On the GPUs; in RAM where there is no GPU, for then RAM is all there is."""
    PART = "part"
    """Layers or experts stay in RAM."""
    RAM = "ram"
    """In RAM alone, though there is a GPU."""
    NO = "no"
    UNKNOWN = "unknown"
    """The file cannot be read, or its header does not tell."""


def fit_of(placement: Placement, profile: Profile) -> Fit:
    """Where the best way puts the variant. `profile`: what it was placed on."""
    return fit_of_way(placement.ways[0], profile) if placement.ways else Fit.NO


def fit_of_way(way: PlacedWay, profile: Profile) -> Fit:
    if not profile.gpus or (way.n_gpu_layers > way.n_layers and not way.n_cpu_moe):
        return Fit.WHOLE
    return Fit.PART if way.n_gpu_layers else Fit.RAM


def is_whole(placement: Placement, profile: Profile) -> bool:
    """Whether the best way leaves nothing in RAM that a GPU could have."""
    return fit_of(placement, profile) is Fit.WHOLE
