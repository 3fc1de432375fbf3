"""What a variant that is still on the Hub would be on this box: from its header alone, before any download. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from inference.core.planning.header_estimates import Told
from inference.core.planning.placement import Alternative, CannotTell, Wishes, place
from inference.core.planning.recommend import Candidate, Fit, Recommendation
from inference.core.scheduling.eviction import Resident
from inference.core.scheduling.ledger import Pool
from inference.core.scheduling.residency import LOAD_BYTES_PER_SECOND
from inference.core.scheduling.would_evict import Leaving, leaving
from inference.host.api.messages import HostStatus, ResidentVariant
from inference.web.plans.rows import rate, way_view
from inference.web.plans.what_if import Changes
from inference.wording.placements import cautions, reason_of, unknown_reason
from models_app.gguf import Header
from models_app.hardware import Profile
from models_app.hardware.pools import profile_pools
from models_app.units import format_bytes, format_params

USUAL_N_CTX_SEQ = 4096
USUAL_N_SEQ_MAX = 4
"""What a variant gets that is added to the inventory: models_app.catalog.register and the row's defaults."""


@dataclass(frozen=True, slots=True)
class RemotePlan:
    fit: Fit
    title: str
    """Of the best way; why there is none, where there is none."""
    decode_tokens_per_second: float | None
    memory: str
    notes: tuple[str, ...]
    """What people should know: of the placement, and of the box as it is now."""
    bits_per_weight: float
    n_params: int | None
    architecture: str | None
    n_ctx_train: int | None


def wishes_for(header: Header, changes: Changes) -> Wishes:
    usual = Wishes(
        n_ctx_seq=max(64, min(USUAL_N_CTX_SEQ, header.n_ctx_train or USUAL_N_CTX_SEQ)), n_seq_max=USUAL_N_SEQ_MAX
    )
    return changes.to(usual)


def plan_remote(told: Told, profile: Profile, changes: Changes, status: HostStatus | None) -> RemotePlan:
    """`status`: the host's, for who would have to leave; None where it does not answer, and then nothing is said of that."""
    header = told.header
    wishes = wishes_for(header, changes)
    n_params = header.n_params
    facts = {
        "bits_per_weight": 8 * header.tensor_bytes / n_params if n_params else 0.0,
        "n_params": n_params,
        "architecture": header.architecture,
        "n_ctx_train": header.n_ctx_train,
    }
    try:
        placement = place(header, profile, wishes, told)
    except CannotTell as error:
        return RemotePlan("unknown", unknown_reason(error), None, "", (), **facts)  # type: ignore[arg-type]
    if not placement.alternatives:
        assert placement.shortfall is not None
        return RemotePlan("no", reason_of(placement.shortfall), None, "", (), **facts)  # type: ignore[arg-type]
    best = placement.alternatives[0]
    pools = profile_pools(profile)
    view = way_view(pools, best, cautions(best, placement, header, profile, wishes))
    now = () if status is None else _now(best, [pool.device for pool in pools], status)
    return RemotePlan(
        fit=_fit(best, n_gpus=len(profile.gpus)),
        title=view["title"],
        decode_tokens_per_second=best.speed.decode_tokens_per_second,
        memory=view["memory"],
        notes=(*now, *view["cautions"]),
        **facts,  # type: ignore[arg-type]
    )


def _fit(way: Alternative, n_gpus: int) -> Fit:
    if not n_gpus or (way.n_gpu_layers > way.n_layers and not way.n_cpu_moe):
        return "whole"
    return "part" if way.n_gpu_layers else "ram"


# the box as it is now -----------------------------------------------------------------------------------------


def _now(way: Alternative, devices: Sequence[str], status: HostStatus) -> tuple[str, ...]:
    wanted = {device: used.total_bytes for device, used in zip(devices, way.devices, strict=False) if used.total_bytes}
    residents = [_resident(each) for each in status["residents"] if each["bytes_by_device"]]
    pools = [
        Pool(
            each["device"],
            each["name"],
            each["capacity_bytes"],
            each["budget_bytes"],
            each["reserve_bytes"],
            each["foreign_bytes"],
        )
        for each in status["devices"]
    ]
    names = {each["variant_id"]: each["name"] for each in status["residents"]}
    return _leaving_words(leaving(wanted, residents, pools), names)


def _resident(each: ResidentVariant) -> Resident:
    n_bytes = sum(each["bytes_by_device"].values())
    return Resident(
        variant_id=each["variant_id"],
        bytes_by_device=each["bytes_by_device"],
        # How likely it is wanted again is the host's to know; what its return takes is told.
        cost_seconds=each["load_seconds"] or n_bytes / LOAD_BYTES_PER_SECOND,
        busy=each["leases"] > 0 or each["state"] == "loading",
        pinned=each["pinned"],
        draining=each["state"] in ("draining", "unloading"),
        used_at=-(each["idle_seconds"] or 0.0),
    )


def _leaving_words(found: Leaving, names: Mapping[int, str]) -> tuple[str, ...]:
    if found.pinned:
        who = _listed([names[each] for each in found.pinned])
        return (f"Now it would have no room beside {who}, which {_is(found.pinned)} pinned.",)
    if found.foreign_bytes:
        return (f"Now other programs use {format_bytes(found.foreign_bytes)} of the memory that it needs.",)
    words = []
    if found.evicts:
        words.append(f"Now {_listed([names[each] for each in found.evicts])} would have to leave for it.")
    if found.waits_for:
        words.append(f"Now it would wait until {_listed([names[each] for each in found.waits_for])} has answered.")
    return tuple(words)


def _is(several: Sequence[int]) -> str:
    return "is" if len(several) == 1 else "are"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# for the page -------------------------------------------------------------------------------------------------


class PlanRow(TypedDict):
    """One line of the page's stream: what becomes known of a variant."""

    type: str
    key: str
    fit: str
    fit_words: str
    how: str
    """`29 of 33 layers on the GPU · 7.20 GiB RTX 3060, 1.10 GiB RAM`; or why it cannot be."""
    decode: str
    notes: list[str]
    model: str
    """What all variants of a repository have in common: `8.03B parameters · llama · trained with 131,072 tokens`."""


FIT_WORDS = {
    "whole": "Fits",
    "part": "Fits in part",
    "ram": "RAM only",
    "no": "Does not fit",
    "unknown": "Not known",
}


def plan_row(key: str, plan: RemotePlan) -> PlanRow:
    speed = plan.decode_tokens_per_second
    return {
        "type": "plan",
        "key": key,
        "fit": plan.fit,
        "fit_words": FIT_WORDS[plan.fit],
        "how": " · ".join(part for part in (plan.title, plan.memory) if part),
        "decode": "" if speed is None else f"about {rate(speed)} tokens/s",
        "notes": list(plan.notes),
        "model": model_words(plan),
    }


def model_words(plan: RemotePlan) -> str:
    words = []
    if plan.n_params:
        words.append(f"{format_params(plan.n_params)} parameters")
    if plan.architecture:
        words.append(plan.architecture)
    if plan.n_ctx_train:
        words.append(f"trained with {plan.n_ctx_train:,} tokens of context")
    return " · ".join(words)


def unplanned_row(key: str, why: str) -> PlanRow:
    """A header that could not be read. `why`: a sentence."""
    return {
        "type": "plan",
        "key": key,
        "fit": "unknown",
        "fit_words": FIT_WORDS["unknown"],
        "how": why,
        "decode": "",
        "notes": [],
        "model": "",
    }


def candidate(key: str, size_bytes: int, plan: RemotePlan, has_room: bool | None) -> Candidate:
    return Candidate(key, size_bytes, plan.bits_per_weight, plan.fit, plan.decode_tokens_per_second, has_room)


class RecommendedRow(TypedDict):
    type: str
    key: str | None
    reason: str


def recommended_row(found: Recommendation, plans: Mapping[str, RemotePlan], names: Mapping[str, str]) -> RecommendedRow:
    """`names`: what people call each variant."""
    return {"type": "recommended", "key": found.key, "reason": _reason(found, plans, names)}


def _reason(found: Recommendation, plans: Mapping[str, RemotePlan], names: Mapping[str, str]) -> str:
    if found.key is None:
        return {
            "nothing": "There is nothing to recommend.",
            "too_large": "None of them fits this box. Look for a smaller model.",
            "no_room": "The disk has no room for any that fits. Delete a model, or move the data folder.",
            "unknown": "Nothing is recommended, because no header could be read.",
        }[found.lack or "nothing"]
    plan = plans[found.key]
    speed = f"about {rate(plan.decode_tokens_per_second or 0.0)} tokens/s"
    match found.ground:
        case "best_whole":
            reason = f"The best quality that fits this box wholly and answers fast: {speed}."
            if found.better is not None:
                slower = rate(plans[found.better].decode_tokens_per_second or 0.0)
                reason += f" {names[found.better]} would fit too, but answers at about {slower} tokens/s."
            return reason
        case "best_part":
            return f"None fits the GPU wholly; this is the best quality that still answers fast: {plan.title}, {speed}."
        case "small_whole":
            return (
                f"The best that fits this box wholly, {speed}. It has lost some quality: larger ones do not fit, and would "
                "be slow."
            )
        case "fastest":
            return f"All are slow on this box; this is the fastest without a clear loss of quality: {speed}."
        case "small":
            return f"Only heavily quantized ones fit; this is the best of them: {speed}. A smaller model may answer better."
    return f"Only unquantized ones are offered; this is the fastest: {speed}."
