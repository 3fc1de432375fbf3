"""Why the host said no, in sentences, and what to do next."""

from __future__ import annotations

from inference.core.loads.devices import RAM
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.refusals import (
    DoesNotFit,
    FailedToLoad,
    NoStorage,
    NotUnderstood,
    Refusal,
    ShuttingDown,
    UnloadedMeanwhile,
    VariantDisabled,
    VariantUnknown,
)
from inference.wording.amounts import on
from inference.wording.names import Name, first, named
from inference.wording.translation import gettext as _
from models_app.units import format_bytes


def sentence(refusal: Refusal, resident_id: ResidentId | None, name: Name) -> str:
    """`resident_id`: whose lease, load or preview was refused; None where no variant was asked for."""
    variant = _("this model") if resident_id is None else name(resident_id)
    match refusal:
        case DoesNotFit():
            return does_not_fit(refusal, variant, name)
        case FailedToLoad():
            return _failed(refusal, variant)
        case UnloadedMeanwhile():
            return _("{variant} was unloaded while you waited. Send again to load it.").format(variant=first(variant))
        case VariantDisabled():
            return _("{variant} is switched off. The owner can enable it under Models.").format(variant=first(variant))
        case VariantUnknown():
            return _("There is no such model. Pick another.")
        case ShuttingDown():
            return _("The host is shutting down. Try again when it is back.")
        case NoStorage(of="database", error=error):
            return _("The database did not answer ({error}). Try again in a moment.").format(error=error)
        case NoStorage(error=error):
            return _(
                "The stored profile of this machine cannot be used: {error}. Mend it on the Hardware page."
            ).format(error=error)
        case NotUnderstood(problem=problem):
            return _("The host did not understand the request: {problem}.").format(problem=problem)


def does_not_fit(unfit: DoesNotFit, variant: str, name: Name) -> str:
    facts = {
        "variant": first(variant),
        "it": variant,
        "needed": format_bytes(unfit.needed_bytes),
        "budget": format_bytes(unfit.budget_bytes),
        "place": on(unfit.device, unfit.device_name),
        "device": unfit.device_name,
        "pinned": named(unfit.pinned, name),
        "pinned_size": format_bytes(unfit.pinned_bytes),
        "n": unfit.budget_bytes,
    }
    if unfit.pool == "clients":
        return _(
            "{variant} must load {place}, whose server answers {n} at a time, and {pinned} is pinned there. "
            "Unpin it, or let layers of {it} stay in RAM."
        ).format(**facts)
    if unfit.needed_bytes <= unfit.budget_bytes:
        return _(
            "{variant} needs at least {needed} {place}, but of the budget of {budget} there {pinned} keeps {pinned_size} "
            "pinned. Unpin it, or give {it} less context."
        ).format(**facts)
    if unfit.device == RAM:
        return _(
            "{variant} needs at least {needed} in RAM, more than the whole budget of {budget} there. Give it less context "
            "or fewer slots, pick a smaller quantization, or raise the budget of RAM on the Hardware page (or "
            "HOSTUI_BUDGET, where that is set)."
        ).format(**facts)
    return _(
        "{variant} needs at least {needed} {place}, more than the whole budget of {budget} there. Give it less context or "
        "fewer slots, pick a smaller quantization, or raise the budget of {device} on the Hardware page."
    ).format(**facts)


def _failed(failed: FailedToLoad, variant: str) -> str:
    """The detail may name files: it is for those who may use the variant."""
    facts = {"variant": first(variant), "detail": failed.detail, "n": failed.failures_in_a_row}
    if not failed.is_final:
        return _("{variant} could not be loaded. {detail}").format(**facts)
    return _(
        "{variant} failed {n} times in a row and is not tried again. {detail} Load it by hand once the cause is gone."
    ).format(**facts)
