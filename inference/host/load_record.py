"""What a load really took, as the host tells the inventory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference.core.ladder import Measured
from inference.core.options import LoadOptions
from inference.engine.protocol import DeviceReport


@dataclass(frozen=True, slots=True)
class LoadMeasured:
    """What a worker held once it was ready."""

    variant_id: int
    options: LoadOptions
    fingerprint: str
    devices: Mapping[str, Measured]
    """By `Pool.device`; the overhead is None where the driver does not tell."""
    load_seconds: float


def measured_load(
    variant_id: int,
    options: LoadOptions,
    fingerprint: str,
    devices: Sequence[DeviceReport],
    load_seconds: float,
    overheads: Mapping[str, int | None] | None = None,
) -> LoadMeasured:
    """From `Ready["devices"]`. `overheads`: see `overhead_bytes`; of a device that is not named it is unknown."""
    return LoadMeasured(
        variant_id,
        options,
        fingerprint,
        {
            row["device"]: Measured(
                row["weights_bytes"], row["kv_bytes"], row["compute_bytes"], (overheads or {}).get(row["device"])
            )
            for row in devices
        },
        load_seconds,
    )


def overhead_bytes(process_bytes: int | None, held: Measured) -> int | None:
    """What a worker holds on a GPU beyond its buffers. `process_bytes`: NVML's figure for its pid; None where it tells none."""
    return None if process_bytes is None else max(0, process_bytes - held.buffers_bytes)
