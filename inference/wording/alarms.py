"""An alarm as a sentence with its cure."""

from __future__ import annotations

from inference.core.monitoring.alarms import Alarm
from inference.wording.translation import gettext as _
from models_app.units import format_bytes


def sentence(alarm: Alarm, device_name: str) -> str:
    facts = {
        "speed": f"{alarm.tokens_per_second:.1f}",
        "usual": f"{alarm.baseline_tokens_per_second:.1f}",
        "device": device_name,
    }
    if alarm.kind == "swapping":
        return _(
            "Answers are slow ({speed} tokens/s where {usual} are usual): the box has too little RAM and swaps. "
            "Unload another model, give this one less context, or pick a smaller quantization."
        ).format(**facts)
    why = _(
        "Answers are slow ({speed} tokens/s where {usual} are usual): {device} is full, so the driver spills into RAM."
    ).format(**facts)
    return f"{why} {_cure(alarm)}"


def _cure(alarm: Alarm) -> str:
    if alarm.remedy is None:
        return _("Give compute buffers room: less context, fewer slots or a smaller quantization.")
    before = _("all") if alarm.n_gpu_layers is None else str(alarm.n_gpu_layers)
    return _("Give compute buffers room: n_gpu_layers {before} → {after} frees {size}.").format(
        before=before, after=alarm.remedy.n_gpu_layers, size=format_bytes(alarm.remedy.frees_bytes)
    )
