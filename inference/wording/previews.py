"""What loading a variant would do, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from inference.core.loads.options import LoadOptions
from inference.core.scheduling.preview import Leaver, Preview
from inference.core.scheduling.reasons import ForEviction, Reason
from inference.wording import waits
from inference.wording.amounts import places
from inference.wording.names import Name, first, listed
from inference.wording.refusals import does_not_fit
from inference.wording.translation import gettext as _
from inference.wording.translation import ngettext
from models_app.units import format_duration


def sentence(found: Preview, name: Name) -> str:
    variant = first(name(found.resident_id))
    if found.outcome in ("resident", "loading"):
        return _already(found, variant)
    if found.unfit is not None:
        return does_not_fit(found.unfit, name(found.resident_id), name)
    if found.way is None:
        assert found.reason is not None
        return _("{variant} would have to wait.").format(variant=variant) + " " + _why(found.reason, name)
    return f"{_outcome(found, variant, name)}{_lesser(found)}{_sooner(found)}"


def _already(found: Preview, variant: str) -> str:
    facts = {"variant": variant, "places": places(found.holds)}
    if found.way is None:
        is_loading = _("{variant} is loading already.")
        return (_("{variant} is loaded already.") if found.outcome == "resident" else is_loading).format(**facts)
    is_loading = _("{variant} is loading already with {places}.")
    return (_("{variant} is loaded already with {places}.") if found.outcome == "resident" else is_loading).format(
        **facts
    )


def _outcome(found: Preview, variant: str, name: Name) -> str:
    leavers = listed([_idle_leaver(each, name) for each in found.evicts])
    facts = {
        "variant": variant,
        "places": places(found.holds),
        "duration": format_duration(found.load_seconds or 0),
        "leavers": leavers,
        "busy": listed([_busy_leaver(each, name) for each in found.waits_for]),
    }
    if found.outcome == "fits":
        return _("{variant} fits: it takes {places} and loads in about {duration}.").format(**facts)
    if found.outcome == "evicts":
        return ngettext(
            "{variant} takes {places} and loads in about {duration}, after {leavers} has left.",
            "{variant} takes {places} and loads in about {duration}, after {leavers} have left.",
            len(found.evicts),
        ).format(**facts)
    if not found.waits_for:
        assert found.reason is not None
        loads = _("{variant} takes {places} and loads in about {duration}, but not at once.").format(**facts)
        return f"{loads} {_why(found.reason, name)}"
    if not found.evicts:
        return _("{variant} waits for {busy} to finish; then it takes {places} and loads in about {duration}.").format(
            **facts
        )
    return ngettext(
        "{variant} waits for {busy} to finish and {leavers} has left; then it takes {places} and loads in about {duration}.",
        "{variant} waits for {busy} to finish and {leavers} have left; then it takes {places} and loads in about {duration}.",
        len(found.evicts),
    ).format(**facts)


def _why(reason: Reason | ForEviction, name: Name) -> str:
    return waits.making_room(reason, name) if isinstance(reason, ForEviction) else waits.why(reason, name)


def _sooner(found: Preview) -> str:
    """What loading it anyway would spare."""
    if found.outcome != "waits" or not found.waits_for or found.anyway:
        return ""
    answers = sum(each.answers for each in found.waits_for)
    if answers:
        said = ngettext(
            "Loaded anyway, it waits only for the answer that runs now.",
            "Loaded anyway, it waits only for the {n} answers that run now.",
            answers,
        ).format(n=answers)
    elif any(each.idle_seconds is None for each in found.waits_for):
        said = _("Loaded anyway, it waits only for the load that is under way.")
    else:
        said = _("Loaded anyway, it does not wait.")
    return f" {said}"


def _idle_leaver(leaver: Leaver, name: Name) -> str:
    facts = {"variant": name(leaver.resident_id), "reload": format_duration(leaver.reload_seconds)}
    if leaver.idle_seconds is None:
        return _("{variant} (loading, reload about {reload})").format(**facts)
    if leaver.idle_seconds < 1:
        return _("{variant} (used just now, reload about {reload})").format(**facts)
    return _("{variant} (idle for {idle}, reload about {reload})").format(
        idle=format_duration(leaver.idle_seconds), **facts
    )


def _busy_leaver(leaver: Leaver, name: Name) -> str:
    variant = name(leaver.resident_id)
    if leaver.answers:
        return ngettext("{variant} (busy with {n} answer)", "{variant} (busy with {n} answers)", leaver.answers).format(
            variant=variant, n=leaver.answers
        )
    if leaver.idle_seconds is None:
        return _("{variant} (loading)").format(variant=variant)
    return _("{variant} (about to be used again)").format(variant=variant)


def _lesser(found: Preview) -> str:
    """What the way that is taken gives up, and why."""
    if not found.is_degraded or found.way is None:
        return ""
    less = listed(_less(found.best.options, found.way.options)) or _("less speed than it could have")
    if found.why == "spares":
        said = _("It gets {less}, so that nobody has to leave.")
    elif found.why == "lesser":
        said = _("It gets {less}, because there is no room for more.")
    else:
        said = _("It gets {less}.")
    return " " + said.format(less=less)


def _less(best: LoadOptions, taken: LoadOptions) -> Sequence[str]:
    words = []
    if taken.n_gpu_layers != best.n_gpu_layers:
        most = _("all") if best.n_gpu_layers is None else str(best.n_gpu_layers)
        words.append(_("{n} layers on the GPU instead of {most}").format(n=taken.n_gpu_layers, most=most))
    if taken.n_ctx_seq != best.n_ctx_seq:
        words.append(_("a context of {n} tokens instead of {most}").format(n=taken.n_ctx_seq, most=best.n_ctx_seq))
    if taken.n_seq_max != best.n_seq_max:
        slots = ngettext("{n} slot instead of {most}", "{n} slots instead of {most}", taken.n_seq_max)
        words.append(slots.format(n=taken.n_seq_max, most=best.n_seq_max))
    if (taken.type_k, taken.type_v) != (best.type_k, best.type_v):
        words.append(_("a {kind} cache instead of {usual}").format(kind=taken.type_k, usual=best.type_k))
    return words
