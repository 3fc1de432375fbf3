"""The host's sentences: facts in, words for a person out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inference.core.loads.devices import RAM, BytesByDevice, is_memory
from inference.core.scheduling.events import ForLoading, InQueue, Reason, Refuse, Wait
from inference.host.api.messages import HostRefused, Mention, RefusalReason, WaitReason

Name = Callable[[int], str]
"""Variant id → its name."""
DeviceName = Callable[[str], str]
"""`Pool.device` → `Pool.name`."""


class Naming:
    """A Name that keeps whom it has named, and how: not everybody who reads the sentence may know them all."""

    def __init__(self, name: Name) -> None:
        self._name = name
        self._named: dict[int, str] = {}

    def __call__(self, variant_id: int) -> str:
        return self._named.setdefault(variant_id, self._name(variant_id))

    @property
    def mentions(self) -> list[Mention]:
        return [Mention(variant_id=each, name=name) for each, name in self._named.items()]


def size(count: int) -> str:
    """Bytes in binary units: 930 MiB, 11.5 GiB."""
    if count >= 1024**3:
        return f"{count / 1024**3:.1f} GiB"
    return f"{count / 1024**2:.0f} MiB"


def duration(seconds: float) -> str:
    """About: 0.4 s, 12 s, 3 min, 2 h."""
    if seconds < 9.5:
        return f"{seconds:.1f} s" if seconds < 0.95 else f"{seconds:.0f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"


def on(device_name: str) -> str:
    return "in RAM" if device_name == "RAM" else f"on {device_name}"


def places(bytes_by_device: BytesByDevice, device_name: DeviceName) -> str:
    """2.1 GiB on GeForce and 300 MiB in RAM"""
    held = [(device, n_bytes) for device, n_bytes in bytes_by_device.items() if n_bytes and is_memory(device)]
    held.sort(key=lambda each: (each[0] == RAM, each[0]))
    return listed([f"{size(n_bytes)} {on(device_name(device))}" for device, n_bytes in held]) or "no memory"


def listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def _names(variant_ids: Sequence[int], name: Name) -> str:
    return listed([name(each) for each in variant_ids]) or "others"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def running_answers(count: int, variants: int = 1) -> str:
    return "its running answer" if count == 1 == variants else counted(count, "running answer")


def idle_for(seconds: float) -> str:
    return "used just now" if seconds < 1 else f"idle for {duration(seconds)}"


def reason(why: Reason, position: int, name: Name) -> str:
    """Why somebody at `position` (from 1) waits."""
    ahead = "you are next" if position == 1 else f"{position - 1} go first" if position > 2 else "1 goes first"
    names = _names(why.variants, name) if why.variants else "Others"
    are = "is" if len(why.variants) == 1 else "are"
    if why.kind == "slots":
        return f"All slots of {names} are busy; {ahead}."
    if why.kind == "loading":
        return f"{names} is loading and its slots go to earlier requests; {ahead}."
    if why.kind == "leaving":
        return f"{names} is being unloaded and will be loaded again; {ahead}."
    if why.kind == "behind":
        return f"{names} {are} loaded first; {ahead}."
    if why.kind == "lingering":
        return f"{names} {are} likely to be used again within moments; {ahead}."
    if why.kind == "foreign":
        what = "some" if why.short_bytes is None else f"about {size(why.short_bytes)}"
        return f"Other programs use too much memory {on(why.device or 'there')}; it loads when they give back {what}; {ahead}."
    if why.answers == 0:
        return f"Waiting for {names} to make room; {ahead}."
    return f"Waiting for {names} to finish {running_answers(why.answers, len(why.variants))} and make room; {ahead}."


def why(reason: Reason) -> WaitReason:
    return {
        "kind": reason.kind,
        "variants": list(reason.variants),
        "answers": reason.answers,
        "device": reason.device,
        "short_bytes": reason.short_bytes,
    }


def reason_of(why: WaitReason) -> Reason:
    return Reason(why["kind"], tuple(why["variants"]), why["answers"], why["device"], why["short_bytes"])


def refused(
    code: RefusalReason, detail: str, facts: Mapping[str, Any] | None = None, mentions: Sequence[Mention] = ()
) -> HostRefused:
    return {"type": "refused", "code": code, "detail": detail, "facts": dict(facts or {}), "mentions": list(mentions)}


def refusal(refuse: Refuse, name: Name) -> HostRefused:
    """What the scheduler refused, worded."""
    naming, facts = Naming(name), refuse.facts
    if refuse.code == "shutting_down":
        return shutting_down()
    variant = naming(refuse.variant_id)
    if refuse.code == "does_not_fit":
        detail = does_not_fit(variant, facts, naming)
        return refused("does_not_fit", detail, facts, naming.mentions)
    if refuse.code == "failed":
        return refused("failed", _failed(variant, facts), facts, naming.mentions)
    detail = f"{variant} was unloaded while you waited. Send again to load it."
    return refused("unloaded", detail, mentions=naming.mentions)


def shutting_down() -> HostRefused:
    return refused("shutting_down", "The host is shutting down. Try again when it is back.")


def does_not_fit(variant: str, facts: Mapping[str, Any], name: Name) -> str:
    """`facts` as in a refusal with code does_not_fit."""
    needed, budget, device = size(facts["needed_bytes"]), size(facts["budget_bytes"]), facts["device"]
    if facts["needed_bytes"] <= facts["budget_bytes"]:
        pinned = _names(facts["pinned"], name)
        if facts["needed_bytes"] == 1:
            # No memory is so little: this is a place at a server (core.ledger.clients_of).
            return (
                f"{variant} must load {on(device)}, whose server answers {facts['budget_bytes']} at a time, and {pinned} is "
                f"pinned there. Unpin it, or let layers of {variant} stay in RAM."
            )
        return (
            f"{variant} needs at least {needed} {on(device)}, but of the budget of {budget} there "
            f"{pinned} keeps {size(facts['pinned_bytes'])} pinned. Unpin it, or give {variant} less context."
        )
    remedy = f"raise the budget of {device} on the Hardware page"
    if device == "RAM":
        remedy += " (or HOSTUI_BUDGET, where that is set)"
    return (
        f"{variant} needs at least {needed} {on(device)}, more than the whole budget of {budget} there. "
        f"Give it less context or fewer slots, pick a smaller quantization, or {remedy}."
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
