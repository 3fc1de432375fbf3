"""A placement as JSON: what `manage.py plan --json` prints, and what the what-if page draws from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypedDict

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from inference.core.planning.cautions import Caution
from inference.core.planning.footprint import DeviceBytes
from inference.core.planning.placement import PlacedWay
from inference.wording.placements import sentence
from models_app.hardware.pools import DevicePool
from models_app.units import format_bytes

CautionedWay = tuple[PlacedWay, tuple[Caution, ...]]
"""One way to load, with what people should know about it."""


def plan_as_json(
    profile_name: str,
    ways: Sequence[CautionedWay],
    reason: str | None,
    leaving: Mapping[PlacedWay, Sequence[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Best first. `reason`: why there is no way; None where there is one. `leaving`: who would have to go, by name."""
    rows = [way_as_json(each, said, leaving.get(each, ())) for each, said in ways]
    return {"profile": profile_name, "alternatives": rows, "reason": reason}


def way_as_json(way: PlacedWay, said: tuple[Caution, ...], evicts: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "n_gpu_layers": way.n_gpu_layers,
        "n_layers": way.n_layers,
        "n_cpu_moe": way.n_cpu_moe,
        "tensor_split": list(way.tensor_split),
        "n_ctx_seq": way.n_ctx_seq,
        "n_seq_max": way.n_seq_max,
        "n_ubatch": way.n_ubatch,
        "type_k": way.type_k,
        "type_v": way.type_v,
        "devices": [
            {
                "name": device.name,
                "weights_bytes": device.weights_bytes,
                "kv_bytes": device.kv_bytes,
                "compute_bytes": device.compute_bytes,
                "overhead_bytes": device.overhead_bytes,
                "total_bytes": device.total_bytes,
                "budget_bytes": device.budget_bytes,
            }
            for device in way.devices
        ],
        "decode_tokens_per_second": round(way.speed.decode_tokens_per_second, 3),
        "prefill_tokens_per_second": round(way.speed.prefill_tokens_per_second, 1),
        "limited_by": f"{way.speed.limited_by} bandwidth",
        "evicts": list(evicts),
        "warnings": [{"code": each.code, "sentence": sentence(each)} for each in said],
    }


# for eyes -----------------------------------------------------------------------------------------------------


class SegmentView(TypedDict):
    kind: str
    label: str
    text: str
    x: float
    """Where it begins, in thousandths of the device's memory."""
    width: float


class BarView(TypedDict):
    device: str
    name: str
    total: str
    spendable: str
    capacity: str
    budget_x: float
    """Where the budget ends, in thousandths of the device's memory."""
    segments: list[SegmentView]
    sentence: str
    """The bar for those who do not see it."""


class WayView(TypedDict):
    title: str
    context: str
    cache: str
    decode: str
    """Tokens per second of one answer."""
    prefill: str
    limited_by: str
    memory: str
    cautions: list[str]
    bars: list[BarView]


_LABELS = {
    "weights": gettext_lazy("Weights"),
    "kv": gettext_lazy("KV cache"),
    "compute": gettext_lazy("Compute buffers"),
    "overhead": gettext_lazy("Overhead"),
    "free": gettext_lazy("Free to spend"),
    "outside": gettext_lazy("Not to spend"),
    "reserve": gettext_lazy("Kept free"),
}


def bar_view(pool: DevicePool, used: DeviceBytes) -> BarView:
    """`used` keeps within the pool's budget. `outside`: what neither may be spent nor is promised to be kept free."""
    sizes = {
        "weights": used.weights_bytes,
        "kv": used.kv_bytes,
        "compute": used.compute_bytes,
        "overhead": used.overhead_bytes,
        "free": pool.budget_bytes - used.total_bytes,
        "outside": pool.capacity_bytes - pool.budget_bytes - pool.reserve_bytes,
        "reserve": pool.reserve_bytes,
    }
    segments: list[SegmentView] = []
    x = 0.0
    for kind, n_bytes in sizes.items():
        width = 1000 * n_bytes / pool.capacity_bytes
        text = format_bytes(n_bytes)
        segments.append(
            {"kind": kind, "label": str(_LABELS[kind]), "text": text, "x": round(x, 2), "width": round(width, 2)}
        )
        x += width
    named = ", ".join(f"{_LABELS[kind]} {format_bytes(n_bytes)}" for kind, n_bytes in sizes.items() if n_bytes)
    return {
        "device": pool.device,
        "name": pool.name,
        "total": format_bytes(used.total_bytes),
        "spendable": format_bytes(pool.budget_bytes),
        "capacity": format_bytes(pool.capacity_bytes),
        "budget_x": round(1000 * pool.budget_bytes / pool.capacity_bytes, 2),
        "segments": segments,
        "sentence": _("{device}, {size}: {parts}.").format(
            device=pool.name, size=format_bytes(pool.capacity_bytes), parts=named
        ),
    }


def way_view(pools: Sequence[DevicePool], way: PlacedWay, said: Sequence[Caution]) -> WayView:
    """`pools`: of the profile it was placed on, the RAM first, as the way's devices stand."""
    speed = way.speed
    used = [device for device in way.devices if device.total_bytes]
    return {
        "title": _title(way, n_gpus=len(pools) - 1),
        "context": f"{way.n_seq_max} × {way.n_ctx_seq:,}",
        "cache": way.type_k,
        "decode": rate(speed.decode_tokens_per_second),
        "prefill": rate(speed.prefill_tokens_per_second),
        "limited_by": _("{device} bandwidth").format(device=speed.limited_by),
        "memory": ", ".join(f"{format_bytes(device.total_bytes)} {device.name}" for device in used),
        "cautions": [sentence(each) for each in said],
        "bars": [bar_view(pool, device) for pool, device in zip(pools, way.devices, strict=False)],
    }


def _title(way: PlacedWay, n_gpus: int) -> str:
    if way.n_gpu_layers == 0:
        return _("All in RAM")
    facts = {"n": way.n_gpu_layers, "n_most": way.n_layers + 1, "where": _gpus(way, n_gpus), "n_experts": way.n_cpu_moe}
    if way.n_gpu_layers < way.n_layers + 1:
        title = _("{n} of {n_most} layers on {where}")
    else:
        title = _("All {n_most} layers on {where}")
    if way.n_cpu_moe:
        title = _("{title}, experts of {n_experts} in RAM").format(title=title.format(**facts), **facts)
    title = title.format(**facts)
    return title if way.n_ubatch >= 512 else _("{title}, small batches").format(title=title)


def _gpus(way: PlacedWay, n_gpus: int) -> str:
    if n_gpus == 1:
        return _("the GPU")
    n_used = sum(count > 0 for count in way.tensor_split) or 1
    return (
        ngettext("{n_used} of {n} GPU", "{n_used} of {n} GPUs", n_gpus)
        if n_used < n_gpus
        else ngettext("{n} GPU", "{n} GPUs", n_gpus)
    ).format(n_used=n_used, n=n_gpus)


def rate(per_second: float) -> str:
    """Two digits that mean something: `42`, `3.1`, `0.04`."""
    if per_second >= 10:
        return f"{per_second:,.0f}"
    return f"{per_second:.1f}" if per_second >= 1 else f"{per_second:.2f}"
