"""The host's sentences: facts in, words for a person out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from inference.core.events import ForLoading, InQueue, Reason, Refuse, Wait
from inference.host.messages import HostRefused, RefusalReason

Name = Callable[[int], str]
"""Variant id → its name."""


def size(count: int) -> str:
    """Bytes in binary units: 930 MiB, 11.5 GiB."""
    if count >= 1024**3:
        return f"{count / 1024**3:.1f} GiB"
    return f"{count / 1024**2:.0f} MiB"


def _names(variant_ids: tuple[int, ...], name: Name) -> str:
    names = [name(each) for each in variant_ids]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else "others"


def _answers(count: int) -> str:
    return "its running answer" if count == 1 else f"{count} running answers"


def reason(why: Reason, position: int, name: Name) -> str:
    """Why somebody at `position` (from 1) waits."""
    ahead = "you are next" if position == 1 else f"{position - 1} go first" if position > 2 else "1 goes first"
    names = _names(why.variants, name)
    if why.kind == "slots":
        return f"All slots of {names} are busy; {ahead}."
    if why.kind == "loading":
        return f"{names} is loading and its slots go to earlier requests; {ahead}."
    if why.kind == "leaving":
        return f"{names} is being unloaded and will be loaded again; {ahead}."
    if why.kind == "behind":
        return f"{names} is loaded first; {ahead}."
    if why.answers == 0:
        return f"Waiting for {names} to make room; {ahead}."
    return f"Waiting for {names} to finish {_answers(why.answers)} and make room; {ahead}."


def refused(code: RefusalReason, detail: str, facts: Mapping[str, Any] | None = None) -> HostRefused:
    return {"type": "refused", "code": code, "detail": detail, "facts": dict(facts or {})}


def refusal(refuse: Refuse, name: Name) -> HostRefused:
    """What the scheduler refused, worded."""
    variant, facts = name(refuse.variant_id), refuse.facts
    if refuse.code == "does_not_fit":
        return refused("does_not_fit", _does_not_fit(variant, facts, name), facts)
    if refuse.code == "failed":
        return refused("failed", _failed(variant, facts), facts)
    if refuse.code == "unloaded":
        return refused("unloaded", f"{variant} was unloaded while you waited. Send again to load it.")
    return shutting_down()


def shutting_down() -> HostRefused:
    return refused("shutting_down", "The host is shutting down. Try again when it is back.")


def _does_not_fit(variant: str, facts: Mapping[str, Any], name: Name) -> str:
    needed, budget = size(facts["needed_bytes"]), size(facts["budget_bytes"])
    if facts["needed_bytes"] <= facts["budget_bytes"]:
        pinned = _names(tuple(facts["pinned"]), name)
        return (
            f"{variant} needs {needed}, but of the budget of {budget} "
            f"{pinned} keeps {size(facts['pinned_bytes'])} pinned. Unpin it, or give {variant} less context."
        )
    return (
        f"{variant} needs {needed}, more than the whole budget of {budget}. "
        "Give it less context or fewer slots, pick a smaller quantization, or raise HOSTUI_BUDGET."
    )


def _failed(variant: str, facts: Mapping[str, Any]) -> str:
    if not facts["final"]:
        return f"{variant} could not be loaded. {facts['detail']}"
    return (
        f"{variant} failed {facts['failures_in_a_row']} times in a row and is not tried again. {facts['detail']} "
        "Load it by hand once the cause is gone."
    )


def wait(what: Wait, name: Name) -> str:
    """One sentence for any wait, for lists."""
    if isinstance(what, InQueue):
        return reason(what.reason, what.position, name)
    if isinstance(what, ForLoading):
        return f"Loading, {what.fraction:.0%}."
    return f"Making room: {_names(what.variants, name)} must leave."
