"""The log of decisions: what was done with memory, and on what grounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.core.scheduling.events import Decided, Refuse
from inference.wording.waits_and_refusals import (
    DeviceName,
    Name,
    duration,
    idle_for,
    listed,
    on,
    places,
    refusal,
    running_answers,
    size,
)


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
            whys = {
                "asked": "a person asked",
                "changed": "to be loaded as it is set up now",
                "unwanted": "whom it was loaded for is done, or has gone",
            }
            return f"{variant} is unloaded: {whys.get(facts['departure'], 'the host shuts down')}."
        case "pause":
            return f"Nothing more is loaded {on(facts['device'])}: {_too_much(facts)}."
        case "resume":
            return f"Variants may be loaded {on(facts['device'])} again."
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
    line = f"{variant} {what} with {places(facts['bytes_by_device'], device_name)}"
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
        need = f"other programs need {size(facts['excess_bytes'])} {on(device_name(facts['device']))}"
    elif facts["departure"] == "budget":
        need = f"the budget of {device_name(facts['device'])} is exceeded by {size(facts['excess_bytes'])}"
    else:
        need = f"{name(facts['for_variant'])} needs the room"
    if facts["answers"]:
        return f"{variant} finishes {running_answers(facts['answers'])} and leaves: {need}."
    idle = "still loading" if facts["idle_seconds"] is None else idle_for(facts["idle_seconds"])
    spared = [name(variant_id) for variant_id, _ in facts["spared"]]
    cheaper = f", cheaper to give up than {listed(spared)}" if spared else ""
    return (
        f"{variant} leaves: {need}. It was {idle}{cheaper}; a reload takes about {duration(facts['reload_seconds'])}, "
        f"and that it is wanted within ten minutes is {facts['likelihood']:.0%} likely."
    )
