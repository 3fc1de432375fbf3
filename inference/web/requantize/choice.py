"""Which of the types that could be made answers the question, and why."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext as _

from inference.core.planning.largest_fitting import FileCandidate, by_size, largest_that_fits
from inference.core.planning.wishes import Wishes
from inference.web.requantize.question import QUALITIES, Question
from inference.web.requantize.target import Target
from models_app.gguf import Header
from models_app.hardware import Profile
from models_app.units import format_bytes

_NEVER_PROPOSED = (
    *("TQ1_0", "TQ2_0", "Q1_0", "Q2_0", "MXFP4", "F32"),  # for models made for them, or for no gain
    *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL"),  # a K type of the same size answers better
)


def choose(
    rows: Sequence[Target],
    candidates: Sequence[FileCandidate],
    source: Header,
    profile: Profile | None,
    wishes: Wishes,
    question: Question,
) -> tuple[Target | None, str]:
    """The type that answers the question, and why; None, and why there is none. `profile`: None where it makes no sense."""
    by_type = {row.type: row for row in rows}
    sensible = [
        each
        for each in candidates
        if each.name not in _NEVER_PROPOSED
        and not by_type[each.name].problem
        and each.header.tensor_bytes < source.tensor_bytes
    ]
    match question.goal:
        case "type":
            return by_type.get(question.recipe.type), _("As you chose.")
        case "quality":
            words, name = QUALITIES[question.quality]
            return by_type.get(name), _("{type}: the quality is {quality}.").format(type=name, quality=words)
        case "size":
            most = question.most_bytes or 0
            small = [each for each in by_size(sensible) if each.header.size_bytes <= most]
            if not small:
                words = _("Nothing that can be made of it is as small as {size}.")
                return None, words.format(size=format_bytes(most))
            words = _("The largest that keeps within {size}.")
            return by_type[small[0].name], words.format(size=format_bytes(most))
        case _other:
            return _largest_that_fits(by_type, sensible, source, profile, wishes)


def _largest_that_fits(
    by_type: dict[str, Target],
    sensible: Sequence[FileCandidate],
    source: Header,
    profile: Profile | None,
    wishes: Wishes,
) -> tuple[Target | None, str]:
    if profile is None:
        return None, _("This machine's stored devices make no sense, so nobody can tell what fits.")
    found = largest_that_fits(sensible, profile, wishes)
    facts = {
        "where": _("on the GPU") if len(profile.gpus) == 1 else _("on the GPUs") if profile.gpus else _("in RAM"),
        "n_slots": wishes.n_seq_max,
        "n_tokens": f"{wishes.n_ctx_seq:,}",
    }
    if found is None:
        words = _(
            "Nothing that can be made of it fits {where} as a whole with {n_slots} × {n_tokens} tokens. Try a shorter "
            "context."
        )
        return None, words.format(**facts)
    words = _("The largest that is smaller and fits {where} as a whole with {n_slots} × {n_tokens} tokens.")
    words = words.format(**facts)
    if largest_that_fits([FileCandidate("", source)], profile, wishes) is not None:
        words = _("This file fits as it is.") + " " + words
    return by_type[found.name], words
