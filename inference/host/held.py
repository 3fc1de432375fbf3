"""What a worker measured, as the ledger counts it."""

from __future__ import annotations

from typing import Any, cast

from inference.core.ledger import RAM
from inference.engine.protocol import Ready


def bytes_by_device(ready: Ready) -> dict[str, int]:
    """All that the worker holds, by `Pool.device`; in RAM where it doesn't tell devices apart."""
    devices = cast("dict[str, Any]", ready).get("devices")
    if not devices:
        return {RAM: ready["weights_bytes"] + ready["kv_bytes"] + ready["compute_bytes"]}
    held: dict[str, int] = {}
    for each in devices:
        parts = ("weights_bytes", "kv_bytes", "compute_bytes", "overhead_bytes")
        held[each["device"]] = held.get(each["device"], 0) + sum(each[part] for part in parts)
    return held
