"""Plans a variant that is still on the Hub, from its header alone, before any download. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypedDict

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from inference.core.loads.resident_id import ResidentId
from inference.core.planning.cautions import cautions
from inference.core.planning.fit import Fit, fit_of
from inference.core.planning.footprint import CannotTell
from inference.core.planning.header_estimates import HeaderEstimates
from inference.core.planning.placement import PlacedWay, place
from inference.core.planning.recommend import Candidate, Lack, Recommendation
from inference.core.planning.wishes import Wishes
from inference.core.scheduling.memory.eviction import Resident
from inference.core.scheduling.memory.ledger import Pool
from inference.core.scheduling.memory.residency import LOAD_BYTES_PER_SECOND
from inference.core.scheduling.memory.would_evict import WouldEvict, would_evict
from inference.host.api.messages import HostStatus, ResidentVariant, resident_id_of
from inference.web.plans.rows import rate, way_view
from inference.web.plans.what_if import WhatIfChanges
from inference.wording.placements import reason_of, unknown_reason
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


def wishes_for(header: Header, changes: WhatIfChanges) -> Wishes:
    usual = Wishes(
        n_ctx_seq=max(64, min(USUAL_N_CTX_SEQ, header.n_ctx_train or USUAL_N_CTX_SEQ)), n_seq_max=USUAL_N_SEQ_MAX
    )
    return changes.to(usual)


def plan_remote(
    estimates: HeaderEstimates, profile: Profile, changes: WhatIfChanges, status: HostStatus | None
) -> RemotePlan:
    """Plans a variant on `profile`. `status`: the host's, for who would have to leave; None where it does not answer."""
    header = estimates.header
    wishes = wishes_for(header, changes)
    n_params = header.n_params
    plan = partial(
        RemotePlan,
        bits_per_weight=8 * header.tensor_bytes / n_params if n_params else 0.0,
        n_params=n_params,
        architecture=header.architecture,
        n_ctx_train=header.n_ctx_train,
    )
    try:
        placement = place(header, profile, wishes, estimates)
    except CannotTell as error:
        return plan(Fit.UNKNOWN, unknown_reason(error), None, "", ())
    if not placement.ways:
        assert placement.shortfall is not None
        return plan(Fit.NO, reason_of(placement.shortfall), None, "", ())
    best = placement.ways[0]
    pools = profile_pools(profile)
    view = way_view(pools, best, cautions(best, placement, header, profile, wishes))
    now = () if status is None else _now(best, [pool.device for pool in pools], status)
    return plan(
        fit=fit_of(placement, profile),
        title=view["title"],
        decode_tokens_per_second=best.speed.decode_tokens_per_second,
        memory=view["memory"],
        notes=(*now, *view["cautions"]),
    )


# the box as it is now -----------------------------------------------------------------------------------------


def _now(way: PlacedWay, devices: Sequence[str], status: HostStatus) -> tuple[str, ...]:
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
    names = {resident_id_of(each): each["name"] for each in status["residents"]}
    return _leaving_words(would_evict(wanted, residents, pools), names)


def _resident(each: ResidentVariant) -> Resident:
    n_bytes = sum(each["bytes_by_device"].values())
    return Resident(
        resident_id=resident_id_of(each),
        bytes_by_device=each["bytes_by_device"],
        # How likely it is wanted again is the host's to know; what its return takes is told.
        cost_seconds=each["load_seconds"] or n_bytes / LOAD_BYTES_PER_SECOND,
        busy=each["leases"] > 0 or each["state"] == "loading",
        pinned=each["pinned"],
        draining=each["state"] in ("draining", "unloading"),
        used_at=-(each["idle_seconds"] or 0.0),
    )


def _leaving_words(found: WouldEvict, names: Mapping[ResidentId, str]) -> tuple[str, ...]:
    if found.pinned:
        return (
            ngettext(
                "Now it would have no room beside {names}, which is pinned.",
                "Now it would have no room beside {names}, which are pinned.",
                len(found.pinned),
            ).format(names=_listed([names[each] for each in found.pinned])),
        )
    if found.foreign_bytes:
        words = _("Now other programs use {size} of the memory that it needs.")
        return (words.format(size=format_bytes(found.foreign_bytes)),)
    said = []
    if found.evicts:
        words = _("Now {names} would have to leave for it.")
        said.append(words.format(names=_listed([names[each] for each in found.evicts])))
    if found.waits_for:
        words = ngettext(
            "Now it would wait until {names} has answered.",
            "Now it would wait until {names} have answered.",
            len(found.waits_for),
        )
        said.append(words.format(names=_listed([names[each] for each in found.waits_for])))
    return tuple(said)


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return _("{some} and {last}").format(some=", ".join(names[:-1]), last=names[-1])


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


FIT_WORDS: Mapping[Fit, str | Promise] = {
    Fit.WHOLE: gettext_lazy("Fits"),
    Fit.PART: gettext_lazy("Fits in part"),
    Fit.RAM: gettext_lazy("RAM only"),
    Fit.NO: gettext_lazy("Does not fit"),
    Fit.UNKNOWN: gettext_lazy("Not known"),
}


def plan_row(key: str, plan: RemotePlan) -> PlanRow:
    speed = plan.decode_tokens_per_second
    return {
        "type": "plan",
        "key": key,
        "fit": plan.fit.value,
        "fit_words": str(FIT_WORDS[plan.fit]),
        "how": " · ".join(part for part in (plan.title, plan.memory) if part),
        "decode": "" if speed is None else _("about {rate} tokens/s").format(rate=rate(speed)),
        "notes": list(plan.notes),
        "model": model_words(plan),
    }


def model_words(plan: RemotePlan) -> str:
    words = []
    if plan.n_params:
        words.append(_("{n} parameters").format(n=format_params(plan.n_params)))
    if plan.architecture:
        words.append(plan.architecture)
    if plan.n_ctx_train:
        words.append(_("trained with {n} tokens of context").format(n=f"{plan.n_ctx_train:,}"))
    return " · ".join(words)


def unplanned_row(key: str, why: str) -> PlanRow:
    """A header that could not be read. `why`: a sentence."""
    return {
        "type": "plan",
        "key": key,
        "fit": Fit.UNKNOWN.value,
        "fit_words": str(FIT_WORDS[Fit.UNKNOWN]),
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
        return _lack(found.lack or "nothing")
    plan = plans[found.key]
    facts = {"speed": rate(plan.decode_tokens_per_second or 0.0), "title": plan.title}
    match found.ground:
        case "best_whole":
            reason = _("The best quality that fits this box and answers fast: about {speed} tokens/s.").format(**facts)
            if found.better is None:
                return reason
            slower = rate(plans[found.better].decode_tokens_per_second or 0.0)
            words = _("{name} would fit too, but answers at about {speed} tokens/s.")
            return f"{reason} {words.format(name=names[found.better], speed=slower)}"
        case "best_part":
            words = _(
                "None fits the GPU as a whole; this is the best quality that still answers fast: {title}, about {speed} "
                "tokens/s."
            )
        case "small_whole":
            words = _(
                "The best that fits this box, about {speed} tokens/s. It has lost some quality: larger ones do not fit, "
                "and would be slow."
            )
        case "fastest":
            words = _(
                "All are slow on this box; this is the fastest without a clear loss of quality: about {speed} tokens/s."
            )
        case "small":
            words = _(
                "Only heavily quantized ones fit; this is the best of them: about {speed} tokens/s. A smaller model may "
                "answer better."
            )
        case _unquantized:
            words = _("Only unquantized ones are offered; this is the fastest: about {speed} tokens/s.")
    return words.format(**facts)


def _lack(lack: Lack) -> str:
    match lack:
        case "nothing":
            return _("There is nothing to recommend.")
        case "too_large":
            return _("None of them fits this box. Look for a smaller model.")
        case "no_room":
            return _("The disk has no room for any that fits. Delete a model, or move the data folder.")
        case "unknown":
            return _("Nothing is recommended, because no header could be read.")
