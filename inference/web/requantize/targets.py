"""What a variant could be requantized to: llama.cpp's own sizes, and what each would take on this box. Nothing is written.

Reads the disk and the database, asks the host what is pinned, and a child process what would come out. Blocks: the first
look at a model takes a second or two.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from inference.core.planning.footprint import CannotTell
from inference.core.planning.largest_fitting import FileCandidate, beside
from inference.core.planning.placement import place
from inference.core.planning.recipe import (
    PLAIN_TYPES,
    TARGETS,
    Outcome,
    Recipe,
    SourceFault,
    is_very_lossy,
    main_type,
    requantized,
    source_caution,
)
from inference.core.planning.wishes import Wishes
from inference.engine.tools.quantize import dry_run
from inference.host.api.messages import HostStatus
from inference.jobs.orders import base_name
from inference.web.crossing.ask_host import status_now
from inference.web.plans import badges
from inference.web.plans.badge import Badge, badge_of, unknown_badge
from inference.web.plans.pinned import pinned_bytes_by_device
from inference.web.plans.what_if import CannotBePlanned, estimates_of, unforeseen
from inference.web.requantize.choice import choose
from inference.web.requantize.question import Question
from inference.web.requantize.target import Target, TargetProblem
from inference.wishes import wishes_of
from models_app.gguf import Header
from models_app.hardware import Profile
from models_app.intake.space import free_bytes
from models_app.models import Variant
from models_app.units import format_bytes

USUAL = ("F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "IQ4_XS", "Q3_K_M", "IQ3_XXS", "Q2_K")
"""What most people choose from; the rest is shown on demand."""
_METADATA_BYTES = 1 << 16
_MANY_FALLBACKS = 8


@dataclass(frozen=True, slots=True)
class Source:
    """A variant that would be a better one to start from."""

    name: str
    quantization: str


@dataclass(frozen=True, slots=True)
class Targets:
    rows: tuple[Target, ...]
    """Largest first."""
    chosen: Target | None
    reason: str
    """Why that one, or why none."""
    caution: str
    """What speaks against the source, whatever is made of it; "" where nothing does."""
    better: tuple[Source, ...]
    note: str
    """About the shape of its tensors; "" where it is as usual."""
    beside: str
    """What is counted as taken."""
    free: str
    n_ctx_seq: int
    n_seq_max: int
    n_shards: int


def targets(variant: Variant, question: Question) -> Targets:
    """Raises CannotBePlanned, QuantizeFailed."""
    paths = list(variant.shards.order_by("number").values_list("path", flat=True))
    if not paths:
        raise CannotBePlanned(variant.name)
    header = estimates_of(paths).header
    candidates = _candidates(paths, header, question)
    own = wishes_of(variant)
    wishes = replace(
        own,
        n_ctx_seq=question.n_ctx_seq or own.n_ctx_seq,
        n_seq_max=question.n_seq_max or own.n_seq_max,
        least_n_ctx_seq=None,
        n_gpu_layers=None,
    )
    host = status_now()
    profile = _beside_pinned(badges.here(), host)
    free = max(0, free_bytes(_existing(Path(settings.MODELS_DIR))) - settings.DISK_RESERVE_BYTES)
    rows = tuple(
        _target(each, outcome, header, profile, wishes, question, free)
        for each, outcome in sorted(candidates, key=lambda pair: -pair[0].header.tensor_bytes)
    )
    try:
        chosen, reason = choose(rows, [each for each, _outcome in candidates], header, profile, wishes, question)
    except Exception as error:
        chosen, reason = None, unforeseen(variant.name, error).detail
    return Targets(
        rows=rows,
        chosen=chosen,
        reason=reason,
        caution=_caution(header, chosen),
        better=tuple(better_sources(variant, header)),
        note=_note(outcome for _candidate, outcome in candidates),
        beside=_beside_words(host),
        free=format_bytes(free),
        n_ctx_seq=wishes.n_ctx_seq,
        n_seq_max=wishes.n_seq_max,
        n_shards=len(paths),
    )


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def _candidates(paths: Sequence[str], header: Header, question: Question) -> list[tuple[FileCandidate, Outcome]]:
    stats = [os.stat(path) for path in paths]
    files = tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in zip(paths, stats, strict=True))
    base = replace(question.recipe, type="Q8_0", keep_split=False)
    outcomes = _outcomes(files, base, question.imatrix is not None)
    return [(FileCandidate(each.type, requantized(header, each)), each) for each in outcomes]


@lru_cache(maxsize=4)
def _outcomes(files: tuple[tuple[str, int, int], ...], base: Recipe, has_imatrix: bool) -> tuple[Outcome, ...]:
    """The outcome of every type. Raises QuantizeFailed."""
    recipes = [replace(base, type=name) for name in TARGETS]
    return tuple(dry_run(Path(files[0][0]), recipes, os.environ, has_imatrix=has_imatrix).values())


def _beside_pinned(profile: Profile | None, host: HostStatus | None) -> Profile | None:
    if profile is None or host is None:
        return profile
    return beside(profile, pinned_bytes_by_device(host["residents"]))


def _beside_words(host: HostStatus | None) -> str:
    if host is None:
        return _("The model host does not answer, so nothing that is pinned is counted as taken.")
    pinned = [each["name"] for each in host["residents"] if each["pinned"]]
    if not pinned:
        return _("Nothing is pinned: the whole budget is counted as free.")
    return _("Beside what is pinned: {names}.").format(names=", ".join(pinned))


def _target(
    candidate: FileCandidate,
    outcome: Outcome,
    source: Header,
    profile: Profile | None,
    wishes: Wishes,
    question: Question,
    free: int,
) -> Target:
    kind = TARGETS[candidate.name]
    header = candidate.header
    problem = None
    if outcome.needs_imatrix and question.imatrix is None:
        problem = TargetProblem.NEEDS_IMATRIX
    elif header.size_bytes + _METADATA_BYTES > free:
        problem = TargetProblem.NO_ROOM
    n_params = source.n_params or 1
    return Target(
        type=kind.name,
        words=kind.description,
        n_bytes=header.size_bytes,
        size=format_bytes(header.size_bytes),
        bits=f"{8 * header.tensor_bytes / n_params:.2f}",
        badge=_badge(header, profile, wishes),
        cautions=tuple(_cautions(kind.name)),
        problem=problem,
        problem_words="" if problem is None else _problem_words(problem, free),
        is_usual=kind.name in USUAL
        and not (kind.name in ("F16", "BF16") and header.tensor_bytes >= source.tensor_bytes),
    )


def _problem_words(problem: TargetProblem, free: int) -> str:
    if problem is TargetProblem.NEEDS_IMATRIX:
        return _("Needs an importance matrix.")
    return _("The disk has no room: {size} are free.").format(size=format_bytes(free))


def _badge(header: Header, profile: Profile | None, wishes: Wishes) -> Badge:
    if profile is None:
        return unknown_badge(_("This machine's stored devices make no sense."))
    try:
        return badge_of(place(header, profile, wishes), profile)
    except CannotTell as cannot:
        return badge_of(cannot, profile)
    except Exception as error:
        return badge_of(unforeseen(header.name or "", error), profile)


def _cautions(name: str) -> Iterator[str]:
    if is_very_lossy(TARGETS[name]):
        yield _("At this size answers become noticeably worse. Take it only where nothing larger fits.")


def _note(outcomes: Iterable[Outcome]) -> str:
    most = max((each.n_fallbacks for each in outcomes), default=0)
    if most < _MANY_FALLBACKS:
        return ""
    return ngettext(
        "The rows of {n} of its tensors cannot be divided into the blocks of K and IQ types. llama.cpp gives it a larger "
        "type, so such files come out larger than usual.",
        "The rows of {n} of its tensors cannot be divided into the blocks of K and IQ types. llama.cpp gives these tensors "
        "a larger type, so such files come out larger than usual.",
        most,
    ).format(n=most)


def _caution(header: Header, chosen: Target | None) -> str:
    found = source_caution(header, TARGETS[chosen.type if chosen else "Q4_K_M"])
    if found is None:
        return ""
    if found.fault is SourceFault.NO_GAIN:
        return _(
            "This file is {source} already: {target} makes it larger and no better, for what was lost does not come back."
        ).format(source=found.source, target=found.target)
    return _(
        "This file is {source} already, and quantizing it a second time loses more than quantizing the original once. "
        "Take an F16, BF16 or Q8_0 of the same model where there is one."
    ).format(source=found.source)


def better_sources(variant: Variant, header: Header) -> Iterator[Source]:
    """Variants of the same model that lost less than this one, best first."""
    own = main_type(header)
    if own is None or own.name in PLAIN_TYPES:
        return
    base = base_name(variant.name)
    same = Variant.objects.filter(architecture=variant.architecture, n_params=variant.n_params).exclude(pk=variant.pk)
    found = []
    for each in same.prefetch_related("shards"):
        related = each.pk == variant.made_from_id or base_name(each.name) == base
        kind = TARGETS.get(each.quantization)
        if not related or kind is None or not each.is_usable or variant.n_params is None:
            continue
        if kind.tensor_type.name in (*PLAIN_TYPES, "q8_0") and kind.tensor_type.bits_per_weight > own.bits_per_weight:
            found.append((-kind.tensor_type.bits_per_weight, each.name, each.quantization))
    for _bits, name, quantization in sorted(found):
        yield Source(name, quantization)


def imatrix_choices(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Importance matrices that lie where hostui puts them, or beside the model, by name."""
    found = {path for folder in folders if folder.is_dir() for path in folder.glob("*imatrix*.gguf")}
    return [{"path": str(path), "name": path.name} for path in sorted(found)]
