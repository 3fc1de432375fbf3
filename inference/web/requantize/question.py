"""What the requantizing form asks for, from a page's query."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inference.core.planning.recipe import BadRecipe, Recipe
from inference.web.plans.what_if import CONTEXT_MUST, CONTEXT_RANGE, SLOTS_MUST, SLOTS_RANGE, BadQuestion
from models_app.hardware.profile import BadAmount, parse_bytes

Goal = Literal["fit", "quality", "size", "type"]
GOALS: tuple[Goal, ...] = get_args(Goal)
QUALITIES: Mapping[str, tuple[str | Promise, str]] = {
    "closest": (gettext_lazy("as close to the source as it gets"), "Q8_0"),
    "high": (gettext_lazy("very high"), "Q6_K"),
    "good": (gettext_lazy("high"), "Q5_K_M"),
    "balanced": (gettext_lazy("good, the usual choice"), "Q4_K_M"),
    "small": (gettext_lazy("noticeably less, for little memory"), "Q3_K_M"),
    "least": (gettext_lazy("poor, for very little memory"), "Q2_K"),
}
"""Words and type by what the form sends."""


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
        problems["goal"] = _("Choose how to pick the type.")
    quality = text("quality") or "balanced"
    if quality not in QUALITIES:
        problems["quality"] = _("There is no such quality.")
    most_bytes = None
    if goal == "size":
        try:
            most_bytes = parse_bytes(text("size"))
        except BadAmount as bad:
            problems["size"] = f"{bad}." if text("size") else _("The size is missing: {problem}.").format(problem=bad)
    numbers: dict[str, int | None] = {}
    for name, must, (least, most) in (("ctx", CONTEXT_MUST, CONTEXT_RANGE), ("slots", SLOTS_MUST, SLOTS_RANGE)):
        given = text(name)
        numbers[name] = int(given) if given.isascii() and given.isdigit() and len(given) < 12 else None
        number = numbers[name]
        if given and (number is None or not least <= number <= most):
            problems[name] = must.format(least=f"{least:,}", most=f"{most:,}")
    imatrix = text("imatrix") or None
    if imatrix is not None and not (os.path.isabs(imatrix) and os.path.isfile(imatrix)):
        problems["imatrix"] = _("There is no such file on this machine. Give its whole path, beginning with /.")
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
        problems[bad.name] = _bad_recipe(bad)
    if problems:
        raise BadQuestion(problems)
    return Question(cast(Goal, goal), quality, most_bytes, recipe, numbers["ctx"], numbers["slots"], imatrix)


def _bad_recipe(bad: BadRecipe) -> str:
    if bad.name == "type":
        return _("“{value}” is no type that llama.cpp can make.").format(value=bad.value)
    return _("“{value}” is none of {choices}.").format(value=bad.value, choices=", ".join(map(str, bad.allowed)))
