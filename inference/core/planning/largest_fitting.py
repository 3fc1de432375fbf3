"""Finds the largest of several possible files of a model that runs well here. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from inference.core.planning.fit import is_whole
from inference.core.planning.footprint import CannotTell
from inference.core.planning.placement import place
from inference.core.planning.wishes import Wishes
from models_app.gguf import Header
from models_app.hardware import Budget, Profile
from models_app.hardware.pools import named_devices


@dataclass(frozen=True, slots=True)
class FileCandidate:
    """A file that could be made."""

    name: str
    header: Header


def beside(profile: Profile, held_bytes: Mapping[str, int]) -> Profile:
    """The profile with less to spend. `held_bytes`: by device (`ram`, `gpu0` …), what is not to be moved for this."""
    ram, *gpus = (
        replace(device, budget=Budget(n_bytes=max(0, device.budget_bytes - held_bytes.get(name, 0))))
        for name, device in named_devices(profile)
    )
    return replace(profile, ram=ram, gpus=tuple(gpus))


def largest_that_fits(candidates: Iterable[FileCandidate], profile: Profile, wishes: Wishes) -> FileCandidate | None:
    """The largest that fits with the full context: on the GPUs, or in RAM where there are none. None: none does."""
    # Shorter contexts and moving to RAM would let nearly anything fit: the question is what fits without giving in.
    firm = replace(wishes, least_n_ctx_seq=None, may_leave_gpu=False, n_gpu_layers=None)
    return next((each for each in by_size(candidates) if _fits_wholly(each, profile, firm)), None)


def by_size(candidates: Iterable[FileCandidate]) -> Sequence[FileCandidate]:
    """Largest first."""
    return sorted(candidates, key=lambda each: each.header.tensor_bytes, reverse=True)


def _fits_wholly(candidate: FileCandidate, profile: Profile, firm: Wishes) -> bool:
    try:
        return is_whole(place(candidate.header, profile, firm), profile)
    except CannotTell:
        return False
