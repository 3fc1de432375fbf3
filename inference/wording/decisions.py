"""The log of decisions in sentences: what was done with memory, and why. The figures behind it are details."""

from __future__ import annotations

from inference.core.scheduling.decisions import (
    Decision,
    Drained,
    Evicted,
    Failed,
    Loaded,
    LoadingPaused,
    LoadingResumed,
    LoadRefused,
    Restored,
    Stayed,
    Unloaded,
    WentIdle,
)
from inference.wording import refusals
from inference.wording.amounts import on, places
from inference.wording.names import Name, first, named
from inference.wording.translation import gettext as _
from inference.wording.translation import ngettext
from models_app.units import format_bytes, format_duration


def sentence(decision: Decision, name: Name) -> str:
    """One line of the log: what, and why."""
    variant = "" if decision.resident_id is None else first(name(decision.resident_id))
    match decision:
        case Loaded() | Restored():
            return _loaded(decision, variant)
        case Evicted() | Drained():
            return f"{_leaves(decision, variant, name)} {_was(decision)}"
        case Stayed():
            return _("{variant} stays: its room is not needed any more.").format(variant=variant)
        case WentIdle(idle_seconds=idle_seconds):
            return _("{variant} is unloaded: unused for {duration}.").format(
                variant=variant, duration=format_duration(idle_seconds)
            )
        case Unloaded():
            return _unloaded(decision, variant)
        case LoadingPaused():
            return _paused(decision)
        case LoadingResumed():
            return _("Variants may be loaded {place} again.").format(place=on(decision.device, decision.device_name))
        case Failed():
            return _failed(decision, variant)
        case LoadRefused(resident_id=resident_id, refusal=refusal):
            return _("Refused: {refusal}").format(refusal=refusals.sentence(refusal, resident_id, name))


def without_quotes(decision: Failed | LoadRefused, name: Name) -> str:
    """The same for whoever may not use the variant: what a worker said may name files."""
    variant = first(name(decision.resident_id))
    if isinstance(decision, Failed):
        return _("{variant} failed.").format(variant=variant)
    return _("{variant} was refused.").format(variant=variant)


def details(decision: Decision, name: Name) -> str:
    """The figures that were weighed; "" where there are none."""
    match decision:
        case Loaded() | Restored() if decision.n_ways > 1:
            share = decision.score / decision.best_score if decision.best_score else 1.0
            return _("Way {rank} of {n}, worth {percent}% of the best one.").format(
                rank=decision.rank + 1, n=decision.n_ways, percent=round(share * 100)
            )
        case Evicted() | Drained():
            return _weighed(decision, name)
    return ""


def _loaded(decision: Loaded | Restored, variant: str) -> str:
    facts = {"variant": variant, "places": places(decision.holds)}
    if isinstance(decision, Restored):
        line = _("{variant} comes back with {places}.").format(**facts)
    else:
        line = _("{variant} is loaded with {places}.").format(**facts)
    if decision.n_ways > 1 and decision.why == "spares":
        return line + " " + _("For a better way others would have had to leave.")
    if decision.n_ways > 1 and decision.why == "lesser":
        return line + " " + _("There is no room for a better way.")
    return line


def _leaves(decision: Evicted | Drained, variant: str, name: Name) -> str:
    device = decision.device or ""
    device_name = decision.device_name or device
    excess = format_bytes(decision.excess_bytes or 0)
    if decision.departure == "foreign":
        return _("{variant} leaves: other programs need {size} {place}.").format(
            variant=variant, size=excess, place=on(device, device_name)
        )
    if decision.departure == "budget":
        return _("{variant} leaves: the budget of {device} is exceeded by {size}.").format(
            variant=variant, device=device_name, size=excess
        )
    other = named(() if decision.for_resident is None else (decision.for_resident,), name)
    return _("{variant} leaves: {other} needs the room.").format(variant=variant, other=other)


def _was(decision: Evicted | Drained) -> str:
    if decision.answers:
        return ngettext(
            "It finishes its running answer first.", "It finishes its {n} running answers first.", decision.answers
        ).format(n=decision.answers)
    if decision.idle_seconds is None:
        return _("It was still loading.")
    if decision.idle_seconds < 1:
        return _("It was used just now.")
    return _("It was idle for {duration}.").format(duration=format_duration(decision.idle_seconds))


def _weighed(decision: Evicted | Drained, name: Name) -> str:
    said = []
    if decision.spared:
        spared = named([each.resident_id for each in decision.spared], name)
        said.append(_("It is cheaper to give up than {names}.").format(names=spared))
    said.append(
        _("A reload takes about {duration}; that it is wanted within ten minutes is {percent}% likely.").format(
            duration=format_duration(decision.reload_seconds), percent=round(decision.likelihood * 100)
        )
    )
    return " ".join(said)


def _unloaded(decision: Unloaded, variant: str) -> str:
    match decision.departure:
        case "asked":
            return _("{variant} is unloaded: a person asked.").format(variant=variant)
        case "changed":
            return _("{variant} is unloaded: to be loaded as it is set up now.").format(variant=variant)
        case "unwanted":
            return _("{variant} is unloaded: whom it was loaded for is done, or has gone.").format(variant=variant)
    return _("{variant} is unloaded: the host shuts down.").format(variant=variant)


def _paused(decision: LoadingPaused) -> str:
    place, excess = on(decision.device, decision.device_name), format_bytes(decision.excess_bytes)
    if decision.cause == "foreign":
        return _("Nothing more is loaded {place}: other programs use {size} that variants hold.").format(
            place=place, size=excess
        )
    return _("Nothing more is loaded {place}: variants hold {size} more than the budget allows.").format(
        place=place, size=excess
    )


def _failed(decision: Failed, variant: str) -> str:
    n = decision.failures_in_a_row
    if n == 1:
        return _("{variant} failed. {detail}").format(variant=variant, detail=decision.detail)
    return _("{variant} failed ({n} times in a row). {detail}").format(variant=variant, n=n, detail=decision.detail)
