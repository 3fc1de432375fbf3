"""What a worker measured, as the ledger counts it."""

from __future__ import annotations

from inference.engine.protocol import Ready


def bytes_by_device(ready: Ready) -> dict[str, int]:
    """All that the worker holds, by `Pool.device`."""
    parts = ("weights_bytes", "kv_bytes", "compute_bytes", "overhead_bytes")
    return {each["device"]: sum(each[part] for part in parts) for each in ready["devices"]}
