"""What would loading this variant take there: a question from a page's query, and its answer. Reads the disk, not the database."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypedDict, cast, get_args

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inference.core.planning.cautions import cautions
from inference.core.planning.footprint import CannotTell
from inference.core.planning.header_estimates import HeaderEstimates
from inference.core.planning.placement import PlacedWay, Placement, place
from inference.core.planning.wishes import Wishes
from inference.web.plans.rows import CautionedWay, WayView, plan_as_json, way_view
from inference.wording.placements import reason_of, unknown_reason
from models_app.catalog.read_files import NotAModel, explain, read_variant
from models_app.gguf import BadGguf
from models_app.hardware import Profile
from models_app.hardware.pools import profile_pools

logger = logging.getLogger(__name__)
KvChoice = Literal["auto", "f16", "q8_0"]
KV_CHOICES: tuple[KvChoice, ...] = get_args(KvChoice)
CONTEXT_RANGE = (64, 4_194_304)
SLOTS_RANGE = (1, 64)
CONTEXT_MUST = gettext_lazy("The context must be a whole number from {least} to {most}.")
SLOTS_MUST = gettext_lazy("The number of slots must be a whole number from {least} to {most}.")
UNFORESEEN = gettext_lazy(
    "It cannot be planned: its header holds something unforeseen. Get the file from another source; the log tells more."
)


class BadQuestion(ValueError):
    """`problems` has a sentence for each parameter that will not do."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


class CannotBePlanned(Exception):
    """A variant has no files (`problem` is None), this file of its cannot be read, or planning it failed (`is_unforeseen`)."""

    def __init__(self, name: str, problem: str | None = None, *, is_unforeseen: bool = False) -> None:
        super().__init__(f"{name}: {problem or 'no files'}")
        self.name = name
        self.problem = problem
        self.is_unforeseen = is_unforeseen

    @property
    def detail(self) -> str:
        """A sentence for whoever reads it now."""
        if self.is_unforeseen:
            return str(UNFORESEEN)
        if self.problem is None:
            return _("{name} has no files.").format(name=self.name)
        return _("{file} cannot be planned: {problem}.").format(file=self.name, problem=self.problem)


def unforeseen(name: str, error: Exception) -> CannotBePlanned:
    """What to tell of a file that planning failed on: one must not end a list of many. Logs `error`; a header is hostile input."""
    logger.error("planning failed", exc_info=error, extra={"event": "planning_failed", "file": name})
    return CannotBePlanned(name, type(error).__name__, is_unforeseen=True)


@dataclass(frozen=True, slots=True)
class WhatIfChanges:
    """What the person moved, over the variant's own wishes; None where nothing was."""

    n_ctx_seq: int | None = None
    n_seq_max: int | None = None
    kv: KvChoice = "auto"

    def to(self, wishes: Wishes) -> Wishes:
        return replace(
            wishes,
            n_ctx_seq=wishes.n_ctx_seq if self.n_ctx_seq is None else self.n_ctx_seq,
            n_seq_max=wishes.n_seq_max if self.n_seq_max is None else self.n_seq_max,
            may_quantize_kv=wishes.may_quantize_kv if self.kv == "auto" else self.kv != "f16",
        )


def read_changes(query: Mapping[str, str]) -> WhatIfChanges:
    """From `ctx`, `slots` and `kv`, each of which may be missing or empty. Raises BadQuestion."""
    problems: dict[str, str] = {}
    numbers: dict[str, int | None] = {}
    for name, must, (least, most) in (
        ("ctx", CONTEXT_MUST, CONTEXT_RANGE),
        ("slots", SLOTS_MUST, SLOTS_RANGE),
    ):
        text = query.get(name, "").strip()
        numbers[name] = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None
        number = numbers[name]
        if text and (number is None or not least <= number <= most):
            problems[name] = must.format(least=f"{least:,}", most=f"{most:,}")
    kv = query.get("kv", "").strip() or "auto"
    if kv not in KV_CHOICES:
        problems["kv"] = _("The cache type must be one of {choices}.").format(choices=", ".join(KV_CHOICES))
    if problems:
        raise BadQuestion(problems)
    return WhatIfChanges(numbers["ctx"], numbers["slots"], cast(KvChoice, kv))


def estimates_of(paths: Sequence[str]) -> HeaderEstimates:
    """The header of the variant whose files these are; read again when one of them has changed. Blocks. Raises CannotBePlanned."""
    try:
        stats = [(path, os.stat(path)) for path in paths]
        return _read(tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats))
    except (BadGguf, NotAModel, OSError) as error:
        raise CannotBePlanned(Path(paths[0]).name, explain(error)) from None
    except Exception as error:
        raise unforeseen(Path(paths[0]).name, error) from None


@lru_cache(maxsize=8)
def _read(files: tuple[tuple[str, int, int], ...]) -> HeaderEstimates:
    return HeaderEstimates(read_variant(Path(files[0][0])).header)


class Answer(TypedDict):
    """`manage.py plan --json` and, for each way in its order, what a page shows of it."""

    profile: str
    alternatives: list[dict[str, Any]]
    reason: str | None
    asked: dict[str, Any]
    ways: list[WayView]
    note: str | None


def answer(estimates: HeaderEstimates, profile: Profile, own: Wishes, changes: WhatIfChanges) -> Answer:
    """Nothing is loaded. The first answer about a large header takes a tenth of a second."""
    wishes, header = changes.to(own), estimates.header
    ways: list[CautionedWay] = []
    views: list[WayView] = []
    note: str | None = None
    pools = profile_pools(profile)
    try:
        placement = place(header, profile, wishes, estimates)
        found, note = _of_type(placement, changes.kv)
        ways = [(each, cautions(each, placement, header, profile, wishes)) for each in found]
        views = [way_view(pools, each, said) for each, said in ways]
        reason = None if placement.shortfall is None else reason_of(placement.shortfall)
    except CannotTell as error:
        reason = unknown_reason(error)
    except Exception as error:
        ways, views, note = [], [], None
        reason = unforeseen(header.name or "", error).detail
    asked = {"ctx": wishes.n_ctx_seq, "slots": wishes.n_seq_max, "kv": changes.kv}
    return cast(Answer, {**plan_as_json(profile.name, ways, reason), "asked": asked, "ways": views, "note": note})


def _of_type(placement: Placement, kv: KvChoice) -> tuple[tuple[PlacedWay, ...], str | None]:
    """The ways with the cache that was asked for; all, and a sentence why, where it makes none faster."""
    if kv != "q8_0" or not placement.ways:
        return placement.ways, None
    best = placement.ways[0].speed.decode_tokens_per_second
    quantized = tuple(each for each in placement.ways if each.type_k == "q8_0")
    if quantized and quantized[0].speed.decode_tokens_per_second >= best:
        return quantized, None
    return placement.ways, _("A q8_0 cache gains nothing here, so f16 is shown.")
