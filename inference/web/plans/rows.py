"""A placement as JSON: what `manage.py plan --json` prints, and what the what-if page draws from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypedDict

from inference.core.planning.placement import Alternative, DeviceBytes
from inference.wording.placements import Caution
from models_app.hardware.pools import DevicePool
from models_app.units import format_bytes

ToldWay = tuple[Alternative, tuple[Caution, ...]]
"""One way to load, with what people should know about it."""


def plan_as_json(
    profile_name: str,
    told: Sequence[ToldWay],
    reason: str | None,
    leaving: Mapping[Alternative, Sequence[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Best first. `reason`: why there is no alternative; None where there is one. `leaving`: who would have to go, by name."""
    rows = [alternative_as_json(each, said, leaving.get(each, ())) for each, said in told]
    return {"profile": profile_name, "alternatives": rows, "reason": reason}


def alternative_as_json(
    alternative: Alternative, said: tuple[Caution, ...], evicts: Sequence[str] = ()
) -> dict[str, Any]:
    return {
        "n_gpu_layers": alternative.n_gpu_layers,
        "n_layers": alternative.n_layers,
        "n_cpu_moe": alternative.n_cpu_moe,
        "tensor_split": list(alternative.tensor_split),
        "n_ctx_seq": alternative.n_ctx_seq,
        "n_seq_max": alternative.n_seq_max,
        "n_ubatch": alternative.n_ubatch,
        "type_k": alternative.type_k,
        "type_v": alternative.type_v,
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
            for device in alternative.devices
        ],
        "decode_tokens_per_second": round(alternative.speed.decode_tokens_per_second, 3),
        "prefill_tokens_per_second": round(alternative.speed.prefill_tokens_per_second, 1),
        "limited_by": alternative.speed.limited_by,
        "evicts": list(evicts),
        "warnings": [{"code": each.code, "sentence": each.sentence} for each in said],
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
    "weights": "Weights",
    "kv": "KV cache",
    "compute": "Compute buffers",
    "overhead": "Overhead",
    "free": "Free to spend",
    "outside": "Not to spend",
    "reserve": "Kept free",
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
            {"kind": kind, "label": _LABELS[kind], "text": text, "x": round(x, 2), "width": round(width, 2)}
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
        "sentence": f"{pool.name}, {format_bytes(pool.capacity_bytes)}: {named}.",
    }


def way_view(pools: Sequence[DevicePool], alternative: Alternative, said: Sequence[Caution]) -> WayView:
    """`pools`: of the profile it was placed on, the RAM first, as the alternative's devices stand."""
    speed = alternative.speed
    used = [device for device in alternative.devices if device.total_bytes]
    return {
        "title": _title(alternative, n_gpus=len(pools) - 1),
        "context": f"{alternative.n_seq_max} × {alternative.n_ctx_seq:,}",
        "cache": alternative.type_k,
        "decode": rate(speed.decode_tokens_per_second),
        "prefill": rate(speed.prefill_tokens_per_second),
        "limited_by": speed.limited_by,
        "memory": ", ".join(f"{format_bytes(device.total_bytes)} {device.name}" for device in used),
        "cautions": [each.sentence for each in said],
        "bars": [bar_view(pool, device) for pool, device in zip(pools, alternative.devices, strict=False)],
    }


def _title(alternative: Alternative, n_gpus: int) -> str:
    if alternative.n_gpu_layers == 0:
        return "All in RAM"
    n_used = sum(count > 0 for count in alternative.tensor_split) or 1
    where = "the GPU" if n_gpus == 1 else f"{n_used} of {n_gpus} GPUs" if n_used < n_gpus else f"{n_gpus} GPUs"
    n_most = alternative.n_layers + 1
    title = (
        f"All {n_most} layers on {where}"
        if alternative.n_gpu_layers == n_most
        else f"{alternative.n_gpu_layers} of {n_most} layers on {where}"
    )
    if alternative.n_cpu_moe:
        title += f", experts of {alternative.n_cpu_moe} in RAM"
    return title if alternative.n_ubatch >= 512 else f"{title}, small batches"


def rate(per_second: float) -> str:
    """Two digits that mean something: `42`, `3.1`, `0.04`."""
    if per_second >= 10:
        return f"{per_second:,.0f}"
    return f"{per_second:.1f}" if per_second >= 1 else f"{per_second:.2f}"
