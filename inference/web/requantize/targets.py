"""What a variant could be requantized to: llama.cpp's own sizes, and what each would take on this box. Nothing is written.

Reads the disk and the database, asks the host what is pinned, and a child process what would come out. Blocks: the first
look at a model takes a second or two.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

from django.conf import settings

from inference.core.planning.largest_fitting import Candidate, beside, by_size, largest_that_fits
from inference.core.planning.placement import CannotTell, Wishes, place
from inference.core.planning.recipe import (
    PLAIN_TYPES,
    TARGETS,
    BadRecipe,
    Outcome,
    Recipe,
    is_very_lossy,
    main_type,
    requantized,
    source_caution,
)
from inference.engine.tools.quantize import dry_run
from inference.host.api.messages import HostStatus
from inference.jobs.orders import base_name
from inference.web.crossing.ask_host import status_now
from inference.web.hardware.rows import pinned_bytes_by_device
from inference.web.plans import badges
from inference.web.plans.badge import Badge, badge_of, unknown_badge
from inference.web.plans.what_if import CONTEXT_RANGE, SLOTS_RANGE, BadQuestion, CannotBePlanned, told_of
from inference.wishes import wishes_of
from inference.wording.placements import unknown_reason
from models_app.gguf import Header
from models_app.hardware import Profile
from models_app.hardware.profile import BadAmount, parse_bytes
from models_app.intake.space import free_bytes
from models_app.models import Variant
from models_app.units import format_bytes

Goal = Literal["fit", "quality", "size", "type"]
GOALS: tuple[Goal, ...] = get_args(Goal)
QUALITIES: Mapping[str, tuple[str, str]] = {
    "closest": ("as close to the source as it gets", "Q8_0"),
    "high": ("very high", "Q6_K"),
    "good": ("high", "Q5_K_M"),
    "balanced": ("good, the usual choice", "Q4_K_M"),
    "small": ("noticeably less, for little memory", "Q3_K_M"),
    "least": ("poor, for very little memory", "Q2_K"),
}
"""Words and type by what the form sends."""
USUAL = ("F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "IQ4_XS", "Q3_K_M", "IQ3_XXS", "Q2_K")
"""What most people choose from; the rest is shown on demand."""
_NEVER_PROPOSED = (
    *("TQ1_0", "TQ2_0", "Q1_0", "Q2_0", "MXFP4", "F32"),  # for models made for them, or for no gain
    *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL"),  # a K type of the same size answers better
)
_METADATA_BYTES = 1 << 16
_MANY_FALLBACKS = 8


@dataclass(frozen=True, slots=True)
class Question:
    """What the form asks for. `recipe`'s own type counts where the goal is `type` alone."""

    goal: Goal
    quality: str
    most_bytes: int | None
    recipe: Recipe
    n_ctx_seq: int | None
    n_seq_max: int | None
    imatrix: str | None
    """A path of this machine."""


def read_question(query: Mapping[str, str]) -> Question:
    """Every parameter may be missing or empty. Raises BadQuestion."""
    problems: dict[str, str] = {}

    def text(name: str) -> str:
        return query.get(name, "").strip()

    goal = text("goal") or "fit"
    if goal not in GOALS:
        problems["goal"] = "Choose how to pick the type."
    quality = text("quality") or "balanced"
    if quality not in QUALITIES:
        problems["quality"] = "There is no such quality."
    most_bytes = None
    if goal == "size":
        try:
            most_bytes = parse_bytes(text("size"))
        except BadAmount as bad:
            problems["size"] = f"The size is missing: {bad}." if not text("size") else f"{bad}."
    numbers: dict[str, int | None] = {}
    for name, spoken, (least, most) in (("ctx", "The context", CONTEXT_RANGE), ("slots", "Slots", SLOTS_RANGE)):
        given = text(name)
        numbers[name] = int(given) if given.isascii() and given.isdigit() and len(given) < 12 else None
        number = numbers[name]
        if given and (number is None or not least <= number <= most):
            problems[name] = f"{spoken} must be a whole number from {least:,} to {most:,}."
    imatrix = text("imatrix") or None
    if imatrix is not None and not (os.path.isabs(imatrix) and os.path.isfile(imatrix)):
        problems["imatrix"] = "There is no such file on this machine. Give its whole path, beginning with /."
    recipe = Recipe("Q4_K_M")
    try:
        recipe = Recipe(
            text("type") or "Q4_K_M",
            output_type=text("output_type") or None,
            embedding_type=text("embedding_type") or None,
            pure=text("pure") == "on",
            keep_split=text("keep_split") == "on",
        )
    except BadRecipe as bad:
        problems[bad.name] = str(bad)
    if problems:
        raise BadQuestion(problems)
    return Question(cast(Goal, goal), quality, most_bytes, recipe, numbers["ctx"], numbers["slots"], imatrix)


# answering ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """A type that could be made, as the page shows it."""

    type: str
    words: str
    n_bytes: int
    size: str
    bits: str
    """Per weight, of the whole file."""
    badge: Badge
    cautions: tuple[str, ...]
    problem: str
    """Why it cannot be made; "" where it can."""
    is_usual: bool


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
        raise CannotBePlanned(f"{variant.name} has no files.")
    header = told_of(paths).header
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
    chosen, reason = _choose(rows, [each for each, _ in candidates], header, profile, wishes, question)
    return Targets(
        rows=rows,
        chosen=chosen,
        reason=reason,
        caution=_caution(header, chosen),
        better=tuple(better_sources(variant, header)),
        note=_note(outcome for _, outcome in candidates),
        beside=_beside_words(host),
        free=format_bytes(free),
        n_ctx_seq=wishes.n_ctx_seq,
        n_seq_max=wishes.n_seq_max,
        n_shards=len(paths),
    )


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def _candidates(paths: Sequence[str], header: Header, question: Question) -> list[tuple[Candidate, Outcome]]:
    stats = [os.stat(path) for path in paths]
    files = tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in zip(paths, stats, strict=True))
    base = replace(question.recipe, type="Q8_0", keep_split=False)
    outcomes = _outcomes(files, base, question.imatrix is not None)
    return [(Candidate(each.type, requantized(header, each)), each) for each in outcomes]


@lru_cache(maxsize=4)
def _outcomes(files: tuple[tuple[str, int, int], ...], base: Recipe, has_imatrix: bool) -> tuple[Outcome, ...]:
    """Of every type. Raises QuantizeFailed."""
    recipes = [replace(base, type=name) for name in TARGETS]
    return tuple(dry_run(Path(files[0][0]), recipes, os.environ, has_imatrix=has_imatrix).values())


def _beside_pinned(profile: Profile | None, host: HostStatus | None) -> Profile | None:
    if profile is None or host is None:
        return profile
    return beside(profile, pinned_bytes_by_device(host["residents"]))


def _beside_words(host: HostStatus | None) -> str:
    if host is None:
        return "The model host does not answer, so nothing that is pinned is counted as taken."
    pinned = [each["name"] for each in host["residents"] if each["pinned"]]
    if not pinned:
        return "Nothing is pinned: the whole budget is counted as free."
    return f"Beside what is pinned: {', '.join(pinned)}."


def _target(
    candidate: Candidate,
    outcome: Outcome,
    source: Header,
    profile: Profile | None,
    wishes: Wishes,
    question: Question,
    free: int,
) -> Target:
    kind = TARGETS[candidate.name]
    header = candidate.header
    problem = ""
    if outcome.needs_imatrix and question.imatrix is None:
        problem = "Needs an importance matrix."
    elif header.size_bytes + _METADATA_BYTES > free:
        problem = f"The disk has no room: {format_bytes(free)} are free."
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
        is_usual=kind.name in USUAL
        and not (kind.name in ("F16", "BF16") and header.tensor_bytes >= source.tensor_bytes),
    )


def _badge(header: Header, profile: Profile | None, wishes: Wishes) -> Badge:
    if profile is None:
        return unknown_badge("This machine's stored devices make no sense.")
    try:
        return badge_of(place(header, profile, wishes), len(profile.gpus))
    except CannotTell as cannot:
        return unknown_badge(unknown_reason(cannot))


def _cautions(name: str) -> Iterator[str]:
    if is_very_lossy(TARGETS[name]):
        yield "At this size answers become noticeably worse. Take it only where nothing larger fits."


def _note(outcomes: Iterable[Outcome]) -> str:
    most = max((each.n_fallbacks for each in outcomes), default=0)
    if most < _MANY_FALLBACKS:
        return ""
    return (
        f"The rows of {most} of its tensors cannot be divided into the blocks of K and IQ types. llama.cpp gives these tensors "
        "a larger type, so such files come out larger than usual."
    )


def _caution(header: Header, chosen: Target | None) -> str:
    return source_caution(header, TARGETS[chosen.type if chosen else "Q4_K_M"]) or ""


# choosing -----------------------------------------------------------------------------------------------------


def _choose(
    rows: Sequence[Target],
    candidates: Sequence[Candidate],
    source: Header,
    profile: Profile | None,
    wishes: Wishes,
    question: Question,
) -> tuple[Target | None, str]:
    """The type that answers the question, and why."""
    by_type = {row.type: row for row in rows}
    sensible = [
        each
        for each in candidates
        if each.name not in _NEVER_PROPOSED
        and not by_type[each.name].problem
        and each.header.tensor_bytes < source.tensor_bytes
    ]
    context = f"{wishes.n_seq_max} × {wishes.n_ctx_seq:,} tokens"
    match question.goal:
        case "type":
            return by_type.get(question.recipe.type), "As you chose."
        case "quality":
            words, name = QUALITIES[question.quality]
            return by_type.get(name), f"{name}: the quality is {words}."
        case "size":
            most = question.most_bytes or 0
            small = [each for each in by_size(sensible) if each.header.size_bytes <= most]
            if not small:
                return None, f"Nothing that can be made of it is as small as {format_bytes(most)}."
            return by_type[small[0].name], f"The largest that keeps within {format_bytes(most)}."
        case _:
            if profile is None:
                return None, "This machine's stored devices make no sense, so nobody can tell what fits."
            found = largest_that_fits(sensible, profile, wishes)
            where = "on the GPU" if len(profile.gpus) == 1 else "on the GPUs" if profile.gpus else "in RAM"
            if found is None:
                return (
                    None,
                    f"Nothing that can be made of it fits {where} as a whole with {context}. Try a shorter context.",
                )
            fits_already = largest_that_fits([Candidate("", source)], profile, wishes) is not None
            already = "This file fits as it is. " if fits_already else ""
            return by_type[
                found.name
            ], f"{already}The largest that is smaller and fits {where} as a whole with {context}."


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
    for _, name, quantization in sorted(found):
        yield Source(name, quantization)


def imatrix_choices(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Importance matrices that lie where hostui puts them, or beside the model, by name."""
    found = {path for folder in folders if folder.is_dir() for path in folder.glob("*imatrix*.gguf")}
    return [{"path": str(path), "name": path.name} for path in sorted(found)]
