"""What loading a variant would do, in facts and in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inference.core.loads.options import LoadOptions
from inference.core.scheduling.events import ForEviction, Reason
from inference.core.scheduling.preview import Leaver, Preview
from inference.host.api.messages import LeavingVariant, LoadPreview
from inference.wording.waits_and_refusals import (
    DeviceName,
    Name,
    counted,
    does_not_fit,
    duration,
    idle_for,
    listed,
    places,
    reason,
    wait,
)


def load_preview(found: Preview, name: Name, device_name: DeviceName) -> LoadPreview:
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
        with_bytes = f" with {places(found.way.bytes_by_device, device_name)}" if found.way else ""
        return f"{variant} is {'loaded' if found.outcome == 'resident' else 'loading'} already{with_bytes}."
    if unfit is not None:
        return does_not_fit(variant, unfit, name)
    if found.way is None:
        assert found.reason is not None
        return f"{variant} would have to wait. {_blocked(found.reason, name)}"
    loads = (
        f"takes {places(found.way.bytes_by_device, device_name)} and loads in about {duration(found.load_seconds or 0)}"
    )
    lesser = (
        f" It gets {_lesser(found.best.options, found.way.options)}{_why_lesser(found)}." if found.is_degraded else ""
    )
    if found.outcome == "fits":
        return f"{variant} fits: it {loads}.{lesser}"
    evicts = listed([_idle_leaver(each, name) for each in found.evicts])
    if found.outcome == "evicts":
        return f"{variant} {loads}, after {evicts} {_leave(found.evicts)}.{lesser}"
    if not found.waits_for:
        assert found.reason is not None
        return f"{variant} {loads}, but not at once. {_blocked(found.reason, name)}{lesser}"
    busy = listed([_busy_leaver(each, name) for each in found.waits_for])
    also = f" and {evicts} {_leave(found.evicts)}" if found.evicts else ""
    sooner = "" if found.anyway else f" Loaded anyway, it {_waits_anyway(found.waits_for)}."
    return f"{variant} waits for {busy} to finish{also}; then it {loads}.{lesser}{sooner}"


def _why_lesser(found: Preview) -> str:
    if found.why == "spares":
        return ", so that nobody has to leave"
    return ", because there is no room for more" if found.why == "lesser" else ""


def _waits_anyway(leavers: Sequence[Leaver]) -> str:
    answers = sum(each.answers for each in leavers)
    if answers:
        return "waits only for " + (
            "the answer that runs now" if answers == 1 else f"the {answers} answers that run now"
        )
    if any(each.idle_seconds is None for each in leavers):
        return "waits only for the load that is under way"
    return "does not wait"


def _blocked(why: Reason | ForEviction, name: Name) -> str:
    if isinstance(why, ForEviction):
        return wait(why, name)
    return reason(why, 1, name).replace("; you are next.", ".")


def _leave(leavers: Sequence[Leaver]) -> str:
    return "has left" if len(leavers) == 1 else "have left"


def _idle_leaver(leaver: Leaver, name: Name) -> str:
    idle = "loading" if leaver.idle_seconds is None else idle_for(leaver.idle_seconds)
    return f"{name(leaver.variant_id)} ({idle}, reload about {duration(leaver.reload_seconds)})"


def _busy_leaver(leaver: Leaver, name: Name) -> str:
    if leaver.answers:
        return f"{name(leaver.variant_id)} (busy with {counted(leaver.answers, 'answer')})"
    return f"{name(leaver.variant_id)} ({'loading' if leaver.idle_seconds is None else 'about to be used again'})"


def _lesser(best: LoadOptions, taken: LoadOptions) -> str:
    """What the way that is taken gives up."""
    words = []
    if taken.n_gpu_layers != best.n_gpu_layers:
        most = "all" if best.n_gpu_layers is None else str(best.n_gpu_layers)
        words.append(f"{taken.n_gpu_layers} layers on the GPU instead of {most}")
    if taken.n_ctx_seq != best.n_ctx_seq:
        words.append(f"a context of {taken.n_ctx_seq} tokens instead of {best.n_ctx_seq}")
    if taken.n_seq_max != best.n_seq_max:
        words.append(f"{counted(taken.n_seq_max, 'slot')} instead of {best.n_seq_max}")
    if (taken.type_k, taken.type_v) != (best.type_k, best.type_v):
        words.append(f"a {taken.type_k} cache instead of {best.type_k}")
    return listed(words) or "less speed than it could have"
