"""The dashboard's first paint: from the host's telemetry to words and shapes. Pure; static/js/dashboard/ patches the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from math import floor
from typing import TypedDict

from inference.answering.owner import owner_of
from inference.core.loads.devices import RAM
from inference.core.loads.resident_id import ResidentId
from inference.host.api.messages import resident_id_of
from inference.host.api.telemetry import DeviceTelemetry, SegmentKind, VariantState, resident_id_if_any
from inference.web.dashboard.frames import BrowserBacklog, LogLine, QueueRow, VariantRow
from inference.wording.residency import state_words
from inference.wording.translation import gettext as _
from models_app.units import format_bytes, format_duration

BAR_WIDTH = 1000
"""Of a bar's coordinate system; the browser stretches it."""
N_COLOURS = 6
MOST_LOGGED = 100


def kind_words(kind: SegmentKind) -> str:
    match kind:
        case "weights":
            return _("weights")
        case "kv":
            return _("KV cache")
        case "compute":
            return _("compute buffers")
        case "overhead":
            return _("overhead")
        case "reserved":
            return _("reserved")
        case "foreign":
            return _("other programs")
        case "reserve":
            return _("kept free")
        case "free":
            return _("free")


class Rect(TypedDict):
    key: str
    """By which the page's script finds it again."""
    kind: SegmentKind
    colour: int | None
    """1 to N_COLOURS: whose it is; None for nobody's."""
    x: float
    width: float
    words: str


class LegendRow(TypedDict):
    key: str
    """Of a ResidentId, or the kind."""
    kind: SegmentKind
    """Of a variant's row: weights, the full shade of its colour."""
    colour: int | None
    name: str
    size: str
    parts: str
    """A variant's split; "" for the rest."""


class Bar(TypedDict):
    device: str
    name: str
    facts: str
    note: str
    budget_x: float
    summary: str
    rects: list[Rect]
    legend: list[LegendRow]


def colours(variants: Sequence[VariantState]) -> dict[ResidentId, int]:
    """Of each variant that is there. The page keeps them for as long as it is open."""
    ids = sorted(resident_id_of(each) for each in variants)
    return {resident_id: number % N_COLOURS + 1 for number, resident_id in enumerate(ids)}


def bar(device: DeviceTelemetry, variants: Sequence[VariantState]) -> Bar:
    names = {resident_id_of(each): each["name"] for each in variants}
    colour_of = colours(variants)
    whole = max(1, device["capacity_bytes"], sum(each["bytes"] for each in device["segments"]))
    rects: list[Rect] = []
    legend: list[LegendRow] = []
    sizes: dict[ResidentId, int] = {}
    x = 0.0
    for segment in device["segments"]:
        owner, width = resident_id_if_any(segment), BAR_WIDTH * segment["bytes"] / whole
        words = f"{kind_words(segment['kind'])} {format_bytes(segment['bytes'])}"
        colour = None if owner is None else colour_of.get(owner, 1)
        rects.append(
            {
                "key": f"{'' if owner is None else owner} {segment['kind']}",
                "kind": segment["kind"],
                "colour": colour,
                "x": round(x, 2),
                "width": round(width, 2),
                "words": words if owner is None else f"{names.get(owner, _('a model'))}: {words}",
            }
        )
        x += width
        if owner is None:
            size = format_bytes(segment["bytes"])
            name = kind_words(segment["kind"])
            legend.append(
                {
                    "key": segment["kind"],
                    "kind": segment["kind"],
                    "colour": None,
                    "name": name,
                    "size": size,
                    "parts": "",
                }
            )
        elif owner not in sizes:
            sizes[owner] = segment["bytes"]
            name = names.get(owner, _("a model"))
            legend.append(
                {"key": str(owner), "kind": "weights", "colour": colour, "name": name, "size": "", "parts": words}
            )
        else:
            sizes[owner] += segment["bytes"]
            legend[-1]["parts"] += f" · {words}"
        if owner is not None:
            legend[-1]["size"] = format_bytes(sizes[owner])
    return {
        "device": device["device"],
        "name": device["name"],
        "facts": device_facts(device),
        "note": device_note(device),
        "budget_x": round(BAR_WIDTH * device["budget_bytes"] / whole, 2),
        "summary": "; ".join(f"{row['name']} {row['size']}" for row in legend),
        "rects": rects,
        "legend": legend,
    }


def device_facts(device: DeviceTelemetry) -> str:
    """20.1 GB of 24.0 GB budget · 97 % busy · 61 °C · 120 W"""
    held = sum(each["bytes"] for each in device["segments"] if each["variant_id"] is not None)
    facts = [
        _("{held} of {budget} budget").format(held=format_bytes(held), budget=format_bytes(device["budget_bytes"]))
    ]
    if device["utilisation_percent"] is not None:
        busy = _("processor {percent} % busy") if device["device"] == RAM else _("{percent} % busy")
        # As the script rounds: halves go up.
        facts.append(busy.format(percent=floor(device["utilisation_percent"] + 0.5)))
    if device["temperature_celsius"] is not None:
        facts.append(f"{device['temperature_celsius']} °C")
    if device["power_watts"] is not None:
        facts.append(f"{device['power_watts']:.0f} W")
    if device["swap_in_bytes_per_second"]:
        facts.append(_("swapping in {size}/s").format(size=format_bytes(int(device["swap_in_bytes_per_second"]))))
    return " · ".join(facts)


def device_note(device: DeviceTelemetry) -> str:
    note = _("Budget {size}: the most that models may hold here.").format(size=format_bytes(device["budget_bytes"]))
    return note if device["foreign_bytes"] is not None else note + " " + _("What other programs use is not known.")


def loaded_how(variant: VariantState) -> str:
    """29 of 33 layers on the GPU · 4,096 tokens × 4 slots · KV f16 · loaded in 1.5 s"""
    if variant["load_seconds"] is None:
        return ""
    facts = []
    layers, on_gpu, wanted = variant["n_layers"], variant["n_gpu_layers"], variant["wanted_gpu_layers"]
    if layers is not None and on_gpu is not None:
        # llama.cpp counts the output layer too.
        n_all = max(layers + 1, on_gpu)
        where = (
            _("{n} of {n_all} layers on the GPU").format(n=on_gpu, n_all=n_all) if on_gpu else _("all layers in RAM")
        )
        asked = "" if wanted is None or wanted == on_gpu else " " + _("(asked for {n})").format(n=wanted)
        facts.append(where + asked)
    facts.append(
        _("{n_tokens} tokens × {n_slots} slots").format(
            n_tokens=f"{variant['n_ctx_seq']:,}", n_slots=variant["n_seq_max"]
        )
    )
    if variant["type_k"] and variant["type_v"]:
        same = variant["type_k"] == variant["type_v"]
        facts.append(f"KV {variant['type_k']}" if same else f"KV {variant['type_k']}/{variant['type_v']}")
    facts.append(_("loaded in {seconds} s").format(seconds=f"{variant['load_seconds']:.1f}"))
    return " · ".join(facts)


class ResidentRow(TypedDict):
    variant_id: int
    key: str
    """Of its ResidentId."""
    name: str
    state: str
    state_words: str
    pinned: bool
    may_act: bool
    """Whether it may be pinned and unloaded; one that reads for a job goes with the job."""
    may_unload: bool
    completion: bool
    size: str
    slots: str
    speed: str
    idle: str
    how: str
    trouble: str
    """An alarm or a failure, with its cure."""


def resident_row(variant: VariantRow) -> ResidentRow:
    state, fraction = variant["state"], variant["fraction"]
    loading = f" {fraction:.0%}" if state == "loading" and fraction is not None else ""
    idle = variant["idle_seconds"]
    return {
        "variant_id": variant["variant_id"],
        "key": str(resident_id_of(variant)),
        "name": variant["name"],
        "state": state,
        "state_words": state_words(state) + loading,
        "pinned": variant["pinned"],
        "may_act": variant["purpose"] == "chat",
        "may_unload": state in ("resident", "loading", "draining"),
        "completion": variant["mode"] == "completion",
        "size": format_bytes(variant["reserved_bytes"]) if variant["reserved_bytes"] else "",
        "slots": _("{n} of {n_all}").format(n=variant["slots_busy"], n_all=variant["n_seq_max"])
        if variant["n_seq_max"]
        else "",
        "speed": f"{variant['tokens_per_second']:.1f}",
        "idle": "" if idle is None else format_duration(idle),
        "how": loaded_how(variant),
        "trouble": variant["alarm"] or variant["failure_detail"] or "",
    }


class QueueLine(TypedDict):
    position: int
    name: str
    reason: str
    waiting: str
    is_yours: bool


def queue_line(entry: QueueRow, user_id: int) -> QueueLine:
    return {
        "position": entry["position"],
        "name": entry["variant"],
        "reason": entry["reason"],
        "waiting": format_duration(entry["waiting_seconds"]),
        "is_yours": entry["user"] == owner_of(user_id),
    }


class LogRow(TypedDict):
    at: str
    """ISO 8601."""
    time: str
    """UTC until the page's script says it in the reader's own."""
    kind: str
    sentence: str
    details: str


def log_rows(decisions: Sequence[LogLine]) -> list[LogRow]:
    """Newest first."""
    return [_log_row(each) for each in reversed(decisions[-MOST_LOGGED:])]


def _log_row(line: LogLine) -> LogRow:
    at = datetime.fromtimestamp(line["at"], timezone.utc)
    return {
        "at": at.isoformat(timespec="milliseconds"),
        "time": f"{at:%H:%M:%S}",
        "kind": line["kind"],
        "sentence": line["sentence"],
        "details": line["details"],
    }


class LoadableRow(TypedDict):
    id: int
    name: str
    size: str
    state: str
    state_words: str
    trouble: str
    """Why it cannot run; "" where nothing is known against it."""


def model_row(
    pk: int, name: str, size_bytes: int, unusable_reason: str | None, state: BrowserBacklog | None
) -> LoadableRow:
    states = {} if state is None else {resident_id_of(each): each["state"] for each in state["variants"]}
    residency = states.get(ResidentId(pk), "absent")
    return {
        "id": pk,
        "name": name,
        "size": format_bytes(size_bytes),
        "state": residency,
        "state_words": state_words(residency),
        "trouble": unusable_reason or "",
    }


class Page(TypedDict):
    bars: list[Bar]
    residents: list[ResidentRow]
    queue: list[QueueLine]
    log: list[LogRow]


def page(state: BrowserBacklog, user_id: int) -> Page:
    return {
        "bars": [bar(each, state["variants"]) for each in state["devices"]],
        "residents": [resident_row(each) for each in state["variants"]],
        "queue": [queue_line(each, user_id) for each in state["queue"]],
        "log": log_rows(state["decisions"]),
    }
