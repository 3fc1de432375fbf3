"""What a worker holds, as the ledger counts it."""

from __future__ import annotations

from inference.core.loads.devices import BytesByDevice
from inference.engine.protocol import Ready


def bytes_by_device(ready: Ready) -> dict[str, int]:
    """The buffers of a worker, by `Pool.device`."""
    return {
        each["device"]: each["weights_bytes"] + each["kv_bytes"] + each["compute_bytes"] for each in ready["devices"]
    }


def with_driver_readings(buffers: BytesByDevice, told: BytesByDevice) -> dict[str, int]:
    """What the whole process holds where the driver tells it. Memory that it was given and has not touched yet counts too."""
    return {device: max(n_bytes, buffers.get(device, 0)) for device, n_bytes in told.items()}
