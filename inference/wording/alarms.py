"""An alarm as a sentence with its cure."""

from __future__ import annotations

from inference.core.monitoring.alarms import Alarm
from inference.wording.waits_and_refusals import size


def sentence(alarm: Alarm, device_name: str) -> str:
    slow = f"{alarm.tokens_per_second:.1f} tokens/s where {alarm.baseline_tokens_per_second:.1f} are usual"
    if alarm.kind == "swapping":
        return (
            f"Answers are slow ({slow}): the box has too little RAM and swaps. "
            "Unload another model, give this one less context, or pick a smaller quantization."
        )
    why = f"Answers are slow ({slow}): {device_name} is full, so the driver spills into RAM."
    if alarm.remedy is None:
        return f"{why} Give compute buffers room: less context, fewer slots or a smaller quantization."
    before = "all" if alarm.n_gpu_layers is None else str(alarm.n_gpu_layers)
    return (
        f"{why} Give compute buffers room: n_gpu_layers {before} → {alarm.remedy.n_gpu_layers} "
        f"frees {size(alarm.remedy.frees_bytes)}."
    )
