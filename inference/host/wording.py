"""The host's sentences: facts in, words for a person out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inference.core.events import Decided, ForEviction, ForLoading, InQueue, Reason, Refuse, Wait
from inference.core.ledger import RAM, BytesByDevice, is_memory
from inference.core.options import LoadOptions
from inference.core.preview import Leaver, Preview
from inference.host.messages import HostRefused, LeavingVariant, LoadPreview, RefusalReason

Name = Callable[[int], str]
"""Variant id → its name."""
DeviceName = Callable[[str], str]
"""`Pool.device` → `Pool.name`."""


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


def _on(device_name: str) -> str:
    return "in RAM" if device_name == "RAM" else f"on {device_name}"


def _places(bytes_by_device: BytesByDevice, device_name: DeviceName) -> str:
    """2.1 GiB on GeForce and 300 MiB in RAM"""
    held = [(device, n_bytes) for device, n_bytes in bytes_by_device.items() if n_bytes and is_memory(device)]
    held.sort(key=lambda each: (each[0] == RAM, each[0]))
    return _and([f"{size(n_bytes)} {_on(device_name(device))}" for device, n_bytes in held]) or "no memory"


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def _names(variant_ids: Sequence[int], name: Name) -> str:
    return _and([name(each) for each in variant_ids]) or "others"


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
    if why.kind == "lingering":
        return f"{names} is likely to be used again within moments; {ahead}."
    if why.kind == "foreign":
        what = "some" if why.short_bytes is None else f"about {size(why.short_bytes)}"
        return f"Other programs use too much memory {_on(why.device or 'there')}; it loads when they give back {what}; {ahead}."
    if why.answers == 0:
        return f"Waiting for {names} to make room; {ahead}."
    return f"Waiting for {names} to finish {_answers(why.answers)} and make room; {ahead}."


def refused(code: RefusalReason, detail: str, facts: Mapping[str, Any] | None = None) -> HostRefused:
    return {"type": "refused", "code": code, "detail": detail, "facts": dict(facts or {})}


def refusal(refuse: Refuse, name: Name) -> HostRefused:
    """What the scheduler refused, worded."""
    variant, facts = name(refuse.variant_id), refuse.facts
    if refuse.code == "does_not_fit":
        return refused("does_not_fit", does_not_fit(variant, facts, name), facts)
    if refuse.code == "failed":
        return refused("failed", _failed(variant, facts), facts)
    if refuse.code == "unloaded":
        return refused("unloaded", f"{variant} was unloaded while you waited. Send again to load it.")
    return shutting_down()


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
                f"{variant} must load {_on(device)}, whose server answers {facts['budget_bytes']} at a time, and {pinned} is "
                f"pinned there. Unpin it, or let layers of {variant} stay in RAM."
            )
        return (
            f"{variant} needs at least {needed} {_on(device)}, but of the budget of {budget} there "
            f"{pinned} keeps {size(facts['pinned_bytes'])} pinned. Unpin it, or give {variant} less context."
        )
    remedy = f"raise the budget of {device} on the Hardware page"
    if device == "RAM":
        remedy += " (or HOSTUI_BUDGET, where that is set)"
    return (
        f"{variant} needs at least {needed} {_on(device)}, more than the whole budget of {budget} there. "
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


# previews -----------------------------------------------------------------------------------------------------------


def load_preview(found: Preview, name: Name, device_name: DeviceName) -> LoadPreview:
    """What loading would do, in facts and in a sentence."""
    unfit = None
    if found.unfit is not None:
        unfit = {
            "device": device_name(found.unfit.device),
            "needed_bytes": found.unfit.needed_bytes,
            "budget_bytes": found.unfit.budget_bytes,
            "pinned_bytes": found.unfit.pinned_bytes,
            "pinned": list(found.unfit.pinned),
            "foreign_bytes": found.unfit.foreign_bytes,
        }
    return {
        "type": "preview",
        "variant_id": found.variant_id,
        "name": name(found.variant_id),
        "outcome": found.outcome,
        "sentence": _preview(found, unfit, name, device_name),
        "options": found.way.options.to_json() if found.way else None,
        "bytes_by_device": dict(found.way.bytes_by_device) if found.way else None,
        "is_degraded": found.is_degraded,
        "best_options": found.best.options.to_json(),
        "evicts": [_leaving(each, name) for each in found.evicts],
        "waits_for": [_leaving(each, name) for each in found.waits_for],
        "load_seconds": found.load_seconds,
        "unfit": unfit,
    }


def _leaving(leaver: Leaver, name: Name) -> LeavingVariant:
    return {
        "variant_id": leaver.variant_id,
        "name": name(leaver.variant_id),
        "bytes_by_device": dict(leaver.bytes_by_device),
        "idle_seconds": leaver.idle_seconds,
        "answers": leaver.answers,
        "reload_seconds": leaver.reload_seconds,
        "likelihood": leaver.likelihood,
    }


def _preview(found: Preview, unfit: Mapping[str, Any] | None, name: Name, device_name: DeviceName) -> str:
    variant = name(found.variant_id)
    if found.outcome in ("resident", "loading"):
        with_bytes = f" with {_places(found.way.bytes_by_device, device_name)}" if found.way else ""
        return f"{variant} is {'loaded' if found.outcome == 'resident' else 'loading'} already{with_bytes}."
    if unfit is not None:
        return does_not_fit(variant, unfit, name)
    if found.way is None:
        assert found.reason is not None
        return f"{variant} would have to wait. {_blocked(found.reason, name)}"
    loads = f"takes {_places(found.way.bytes_by_device, device_name)} and loads in about {duration(found.load_seconds or 0)}"
    lesser = (
        f" It gets {_lesser(found.best.options, found.way.options)}{_why_lesser(found)}." if found.is_degraded else ""
    )
    if found.outcome == "fits":
        return f"{variant} fits: it {loads}.{lesser}"
    evicts = _and([_idle_leaver(each, name) for each in found.evicts])
    if found.outcome == "evicts":
        return f"{variant} {loads}, after {evicts} {_leave(found.evicts)}.{lesser}"
    if not found.waits_for:
        assert found.reason is not None
        return f"{variant} {loads}, but not at once. {_blocked(found.reason, name)}{lesser}"
    busy = _and([_busy_leaver(each, name) for each in found.waits_for])
    also = f" and {evicts} {_leave(found.evicts)}" if found.evicts else ""
    sooner = "" if found.anyway else f" Loaded anyway, it waits only for {_answers_that_run(found.waits_for)}."
    return f"{variant} waits for {busy} to finish{also}; then it {loads}.{lesser}{sooner}"


def _why_lesser(found: Preview) -> str:
    if found.why == "spares":
        return ", so that nobody has to leave"
    return ", because there is no room for more" if found.why == "lesser" else ""


def _answers_that_run(leavers: Sequence[Leaver]) -> str:
    answers = sum(each.answers for each in leavers)
    if not answers:
        return "the load that is under way" if any(each.idle_seconds is None for each in leavers) else "nobody"
    return "the answer that runs now" if answers == 1 else f"the {answers} answers that run now"


def _blocked(why: Reason | ForEviction, name: Name) -> str:
    if isinstance(why, ForEviction):
        return wait(why, name)
    return reason(why, 1, name).replace("; you are next.", ".")


def _leave(leavers: Sequence[Leaver]) -> str:
    return "has left" if len(leavers) == 1 else "have left"


def _idle_leaver(leaver: Leaver, name: Name) -> str:
    idle = "loading" if leaver.idle_seconds is None else _idle(leaver.idle_seconds)
    return f"{name(leaver.variant_id)} ({idle}, reload about {duration(leaver.reload_seconds)})"


def _idle(seconds: float) -> str:
    return "used just now" if seconds < 1 else f"idle for {duration(seconds)}"


def _busy_leaver(leaver: Leaver, name: Name) -> str:
    if leaver.answers:
        return f"{name(leaver.variant_id)} (busy with {_count(leaver.answers, 'answer')})"
    return f"{name(leaver.variant_id)} ({'loading' if leaver.idle_seconds is None else 'about to be used again'})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _lesser(best: LoadOptions, taken: LoadOptions) -> str:
    """What the way that is taken gives up."""
    words = []
    if taken.n_gpu_layers != best.n_gpu_layers:
        most = "all" if best.n_gpu_layers is None else str(best.n_gpu_layers)
        words.append(f"{taken.n_gpu_layers} layers on the GPU instead of {most}")
    if taken.n_ctx_seq != best.n_ctx_seq:
        words.append(f"a context of {taken.n_ctx_seq} tokens instead of {best.n_ctx_seq}")
    if taken.n_seq_max != best.n_seq_max:
        words.append(f"{_count(taken.n_seq_max, 'slot')} instead of {best.n_seq_max}")
    if (taken.type_k, taken.type_v) != (best.type_k, best.type_v):
        words.append(f"a {taken.type_k} cache instead of {best.type_k}")
    return _and(words) or "less speed than it could have"


# decisions ----------------------------------------------------------------------------------------------------------


def decision(decided: Decided, name: Name, device_name: DeviceName) -> str:
    """One line of the log: what, and on what grounds."""
    facts = decided.facts
    variant = "" if decided.variant_id is None else name(decided.variant_id)
    match decided.kind:
        case "load" | "restore":
            return _load_decision(variant, decided.kind == "restore", facts, device_name)
        case "evict" | "drain":
            return _leave_decision(variant, facts, name, device_name)
        case "stay":
            return f"{variant} stays: its room is not needed any more."
        case "idle":
            return f"{variant} is unloaded: unused for {duration(facts['idle_seconds'] or 0)}."
        case "unload":
            whys = {"asked": "a person asked", "changed": "to be loaded as it is set up now"}
            return f"{variant} is unloaded: {whys.get(facts['departure'], 'the host shuts down')}."
        case "pause":
            return f"Nothing more is loaded {_on(facts['device'])}: {_too_much(facts)}."
        case "resume":
            return f"Variants may be loaded {_on(facts['device'])} again."
        case "failure":
            times = "" if facts["failures_in_a_row"] == 1 else f" ({facts['failures_in_a_row']} times in a row)"
            return f"{variant} failed{times}. {facts['detail']}"
        case "refuse":
            refuse = Refuse(0, decided.variant_id or 0, facts["code"], facts)
            return f"Refused: {refusal(refuse, name)['detail']}"


def _too_much(facts: Mapping[str, Any]) -> str:
    excess = size(facts["excess_bytes"])
    if facts["cause"] == "foreign":
        return f"other programs use {excess} that variants hold"
    return f"variants hold {excess} more than the budget allows"


def _load_decision(variant: str, is_restored: bool, facts: Mapping[str, Any], device_name: DeviceName) -> str:
    what = "comes back" if is_restored else "is loaded"
    line = f"{variant} {what} with {_places(facts['bytes_by_device'], device_name)}"
    if facts["ways"] == 1:
        return f"{line}."
    way = f"way {facts['rank'] + 1} of {facts['ways']}" if facts["rank"] else f"the best of {facts['ways']} ways"
    share = f"{facts['worth'] / facts['best_worth']:.0%}" if facts["best_worth"] else "all"
    if facts["why"] == "spares":
        return f"{line}, {way}: worth {share} of the best one, for which others would have had to leave."
    if facts["why"] == "lesser":
        return f"{line}, {way}: worth {share} of the best one, for which there is no room."
    return f"{line}, {way}."


def _leave_decision(variant: str, facts: Mapping[str, Any], name: Name, device_name: DeviceName) -> str:
    if facts["departure"] == "foreign":
        need = f"other programs need {size(facts['excess_bytes'])} {_on(device_name(facts['device']))}"
    elif facts["departure"] == "budget":
        need = f"the budget of {device_name(facts['device'])} is exceeded by {size(facts['excess_bytes'])}"
    else:
        need = f"{name(facts['for_variant'])} needs the room"
    if facts["answers"]:
        return f"{variant} finishes {_answers(facts['answers'])} and leaves: {need}."
    idle = "still loading" if facts["idle_seconds"] is None else _idle(facts["idle_seconds"])
    spared = [name(variant_id) for variant_id, _ in facts["spared"]]
    cheaper = f", cheaper to give up than {_and(spared)}" if spared else ""
    return (
        f"{variant} leaves: {need}. It was {idle}{cheaper}; a reload takes about {duration(facts['reload_seconds'])}, "
        f"and that it is wanted within ten minutes is {facts['likelihood']:.0%} likely."
    )
