"""Why somebody waits, in sentences."""

from __future__ import annotations

from inference.core.scheduling.reasons import ForEviction, ForLoading, InQueue, Reason, Wait
from inference.wording.amounts import on
from inference.wording.names import Name, first, named
from inference.wording.translation import gettext as _
from inference.wording.translation import ngettext
from models_app.units import format_bytes


def sentence(reason: Reason, position: int, name: Name) -> str:
    """What somebody at `position` (from 1) waits for, and whose turn it is."""
    return f"{why(reason, name)} {turn(position)}"


def of(wait: Wait, name: Name) -> str:
    """One sentence for any wait, for lists."""
    match wait:
        case InQueue(position=position, reason=reason):
            return sentence(reason, position, name)
        case ForLoading(fraction=fraction):
            return _("Loading, {percent}%.").format(percent=round(fraction * 100))
    return making_room(wait, name)


def making_room(wait: ForEviction, name: Name) -> str:
    return _("Making room: {names} must leave.").format(names=named(wait.variants, name))


def turn(position: int) -> str:
    if position == 1:
        return _("You are next.")
    n = position - 1
    return ngettext("{n} goes first.", "{n} go first.", n).format(n=n)


def why(reason: Reason, name: Name) -> str:
    """What is waited for, without whose turn it is."""
    n, names = len(reason.variants), named(reason.variants, name)
    match reason.kind:
        case "slots":
            return _("All slots of {names} are busy.").format(names=names)
        case "loading":
            return _("{names} is loading and its slots go to earlier requests.").format(names=first(names))
        case "leaving":
            return _("{names} is being unloaded and will be loaded again.").format(names=first(names))
        case "behind" if n:
            return ngettext("{names} is loaded first.", "{names} are loaded first.", n).format(names=first(names))
        case "behind":
            return _("Others are loaded first.")
        case "lingering":
            return ngettext(
                "{names} is likely to be used again within moments.",
                "{names} are likely to be used again within moments.",
                n,
            ).format(names=first(names))
        case "foreign":
            return _foreign(reason)
    if reason.answers == 0:
        return _("Waiting for {names} to make room.").format(names=names)
    if reason.answers == 1 == n:
        return _("Waiting for {names} to finish its running answer and make room.").format(names=names)
    return ngettext(
        "Waiting for {names} to finish {n} running answer and make room.",
        "Waiting for {names} to finish {n} running answers and make room.",
        reason.answers,
    ).format(names=names, n=reason.answers)


def _foreign(reason: Reason) -> str:
    place = _("there") if reason.device is None else on(reason.device, reason.device_name or reason.device)
    if reason.short_bytes is None:
        return _("Other programs use too much memory {place}; it loads when they give back some.").format(place=place)
    return _("Other programs use too much memory {place}; it loads when they give back about {size}.").format(
        place=place, size=format_bytes(reason.short_bytes)
    )
