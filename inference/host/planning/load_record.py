"""What a load really took, as the host tells the inventory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from inference.core.loads.devices import BytesByDevice
from inference.core.loads.options import LoadOptions
from inference.core.planning.load_ways import Measured
from inference.core.scheduling.memory.residency import VariantFacts
from inference.engine.protocol import DeviceReport, Ready


@dataclass(frozen=True, slots=True)
class LoadMeasured:
    """What a worker held once it was ready."""

    variant_id: int
    options: LoadOptions
    fingerprint: str
    devices: Mapping[str, Measured]
    """By `Pool.device`; the overhead is None where the driver does not tell."""
    load_seconds: float


def measured_load(facts: VariantFacts, ready: Ready, whole_bytes: BytesByDevice) -> LoadMeasured:
    """Of a worker that was started as `facts` say. `whole_bytes`: of the whole process, by device, where the driver tells."""
    return LoadMeasured(
        facts.resident_id.variant_id,
        facts.options,
        facts.fingerprint,
        {each["device"]: _measured(each, whole_bytes.get(each["device"])) for each in ready["devices"]},
        ready["load_seconds"],
    )


def _measured(device: DeviceReport, whole_bytes: int | None) -> Measured:
    held = Measured(device["weights_bytes"], device["kv_bytes"], device["compute_bytes"])
    return held if whole_bytes is None else replace(held, overhead_bytes=max(0, whole_bytes - held.buffers_bytes))
