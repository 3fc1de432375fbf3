"""Of several files that could be made of a model, which is the largest that runs well here? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from inference.core.placement import Alternative, CannotTell, Placement, Wishes, place
from models_app.gguf import Header
from models_app.hardware import Budget, Profile
from models_app.hardware.pools import named_devices

Fit = Literal["wholly", "partly", "ram", "not", "unknown"]
"""Everything on the GPUs (or, on a machine without, in RAM); some layers or experts in RAM; all in RAM though there are
GPUs; in no way; the header does not tell."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that could be made."""

    name: str
    header: Header


@dataclass(frozen=True, slots=True)
class Fitting:
    candidate: Candidate
    fit: Fit
    way: Alternative | None
    """The best, where there is one."""


def beside(profile: Profile, held_bytes: Mapping[str, int]) -> Profile:
    """The profile with less to spend: by device (`ram`, `gpu0` …), what is not to be moved for this."""
    ram, *gpus = (
        replace(device, budget=Budget(n_bytes=max(0, device.budget_bytes - held_bytes.get(name, 0))))
        for name, device in named_devices(profile)
    )
    return replace(profile, ram=ram, gpus=tuple(gpus))


def fitting(candidate: Candidate, profile: Profile, wishes: Wishes) -> Fitting:
    try:
        placement = place(candidate.header, profile, wishes)
    except CannotTell:
        return Fitting(candidate, "unknown", None)
    return Fitting(candidate, *_of(placement, profile))


def _of(placement: Placement, profile: Profile) -> tuple[Fit, Alternative | None]:
    if not placement.alternatives:
        return "not", None
    whole = next((way for way in placement.alternatives if _is_whole(way, profile)), None)
    if whole is not None:
        return "wholly", whole
    best = placement.alternatives[0]
    return ("partly" if best.n_gpu_layers else "ram"), best


def _is_whole(way: Alternative, profile: Profile) -> bool:
    return not profile.gpus or (way.n_gpu_layers == way.n_layers + 1 and way.n_cpu_moe == 0)


def largest_that_fits(candidates: Iterable[Candidate], profile: Profile, wishes: Wishes) -> Fitting | None:
    """The largest of `candidates` that runs wholly, with the full context; None where none does."""
    # Shorter contexts and moving to RAM would let anything fit: the question is what fits without giving in.
    firm = replace(wishes, least_n_ctx_seq=None, may_leave_gpu=False, n_gpu_layers=None)
    for candidate in by_size(candidates):
        found = fitting(candidate, profile, firm)
        if found.fit == "wholly":
            return found
    return None


def by_size(candidates: Iterable[Candidate]) -> Sequence[Candidate]:
    """Largest first."""
    return sorted(candidates, key=lambda each: each.header.tensor_bytes, reverse=True)
