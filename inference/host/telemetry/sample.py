"""From readings of the machine and the host's status to what is shown and what the ledger is told. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from inference.core.loads.devices import RAM
from inference.core.loads.resident_id import ResidentId
from inference.core.monitoring.alarms import Alarm
from inference.core.scheduling.memory.ledger import Pool
from inference.host.api.messages import HostStatus, ResidentVariant, resident_id_of
from inference.host.api.telemetry import DeviceTelemetry, QueueEntry, Segment, SegmentKind, VariantTelemetry
from models_app.hardware.nvidia import GpuReading

SETTLED_SAMPLES = 3
"""Foreign memory must stand for so many samples before it counts: a worker's own, seen a moment before its report, looks foreign."""


@dataclass(frozen=True, slots=True)
class RamReading:
    """The host's memory and processors at one moment, within this process's control group. None: not known."""

    available_bytes: int | None = None
    cpu_percent: float | None = None
    """Of all cores together, since the last reading."""
    swap_in_bytes_per_second: float | None = None
    swap_out_bytes_per_second: float | None = None
    private_bytes: Mapping[int, int] = field(default_factory=dict)
    """By worker's process id: what it holds and could not be had by others; mapped weights, which could, are left out."""


@dataclass(frozen=True, slots=True)
class Reading:
    ram: RamReading
    gpus: Mapping[str, GpuReading] = field(default_factory=dict)
    """By `Pool.device`. A device of another machine, or of another maker, is not among them."""


def shares(resident: ResidentVariant) -> dict[str, dict[SegmentKind, int]]:
    """What the variant holds: bytes by kind, by device.

    What the ledger holds beyond the measured buffers is overhead; all of it is `reserved` until the worker has measured."""
    measured: dict[str, dict[SegmentKind, int]] = {}
    for each in resident["devices"] or ():
        measured[each["device"]] = {
            "weights": each["weights_bytes"],
            "kv": each["kv_bytes"],
            "compute": each["compute_bytes"],
            "overhead": each["overhead_bytes"],
        }
    for device, reserved_bytes in resident["bytes_by_device"].items():
        kinds = measured.setdefault(device, {})
        beyond_bytes = max(0, reserved_bytes - sum(kinds.values()))
        kind: SegmentKind = "reserved" if resident["devices"] is None else "overhead"
        kinds[kind] = kinds.get(kind, 0) + beyond_bytes
    return {device: {kind: n for kind, n in kinds.items() if n} for device, kinds in measured.items()}


def foreign_bytes(
    device: str, pool: Pool, reading: Reading, residents: Sequence[ResidentVariant], before: int | None = None
) -> int | None:
    """What programs that are not ours use of the device, this moment. None: not known.

    RAM: capacity - available - what our workers hold privately; mapped weights count as available and so do not enter.
    GPU: used - ours, where ours is what the driver tells of each worker's process, else what the worker reported. Of one that is
    still loading, or already leaving, and that the driver does not tell of, nobody knows how much it holds of what is reserved for
    it: then it is the number nearest to `before`, what it was last known to be, that this leaves possible.
    """
    if device == RAM:
        available_bytes = reading.ram.available_bytes
        if available_bytes is None:
            return None
        return max(0, pool.capacity_bytes - available_bytes - sum(reading.ram.private_bytes.values()))
    gpu = reading.gpus.get(device)
    if gpu is None or gpu.used_bytes is None:
        return None
    ours = perhaps_ours = 0
    for resident in residents:
        told = (gpu.process_bytes or {}).get(resident["pid"] or -1)
        if told is not None:
            ours += told
        elif resident["state"] in ("loading", "unloading"):
            perhaps_ours += sum(shares(resident).get(device, {}).values())
        else:
            ours += sum(shares(resident).get(device, {}).values())
    most_bytes = max(0, gpu.used_bytes - ours)
    least_bytes = max(0, most_bytes - perhaps_ours)
    return min(most_bytes, max(least_bytes, before or 0))


def process_bytes(device: str, reading: Reading) -> Mapping[int, int]:
    """What each of our workers holds on the device, as far as the system or the driver tells."""
    if device == RAM:
        return reading.ram.private_bytes
    gpu = reading.gpus.get(device)
    return (gpu.process_bytes if gpu else None) or {}


def segments(pool: Pool, held: Mapping[ResidentId, Mapping[SegmentKind, int]], foreign: int | None) -> list[Segment]:
    """The device's bar. `held`: by resident, bytes by kind on this device."""
    parts = [
        Segment(kind=kind, variant_id=resident_id.variant_id, purpose=resident_id.purpose, bytes=n)
        for resident_id, kinds in held.items()
        for kind, n in kinds.items()
    ]
    if foreign:
        parts.append(Segment(kind="foreign", variant_id=None, purpose=None, bytes=foreign))
    left = max(0, pool.capacity_bytes - sum(part["bytes"] for part in parts))
    reserve = min(left, pool.reserve_bytes)
    rest: tuple[tuple[SegmentKind, int], ...] = (("reserve", reserve), ("free", left - reserve))
    return parts + [Segment(kind=kind, variant_id=None, purpose=None, bytes=n) for kind, n in rest if n]


def device_telemetry(
    pool: Pool, reading: Reading, residents: Sequence[ResidentVariant], foreign_before: int | None = None
) -> DeviceTelemetry:
    held = {resident_id_of(each): kinds for each in residents if (kinds := shares(each).get(pool.device))}
    foreign = foreign_bytes(pool.device, pool, reading, residents, foreign_before)
    shown: DeviceTelemetry = {
        "device": pool.device,
        "name": pool.name,
        "capacity_bytes": pool.capacity_bytes,
        "budget_bytes": pool.budget_bytes,
        "reserve_bytes": pool.reserve_bytes,
        "used_bytes": None,
        "foreign_bytes": foreign,
        "utilisation_percent": None,
        "bandwidth_percent": None,
        "temperature_celsius": None,
        "power_watts": None,
        "swap_in_bytes_per_second": None,
        "swap_out_bytes_per_second": None,
        "segments": segments(pool, held, foreign),
    }
    if pool.device == RAM:
        ram = reading.ram
        if ram.available_bytes is not None:
            shown["used_bytes"] = max(0, pool.capacity_bytes - ram.available_bytes)
        shown["utilisation_percent"] = ram.cpu_percent
        shown["swap_in_bytes_per_second"] = ram.swap_in_bytes_per_second
        shown["swap_out_bytes_per_second"] = ram.swap_out_bytes_per_second
    elif (gpu := reading.gpus.get(pool.device)) is not None:
        shown["used_bytes"] = gpu.used_bytes
        shown["utilisation_percent"] = gpu.utilisation_percent
        shown["bandwidth_percent"] = gpu.bandwidth_percent
        shown["temperature_celsius"] = gpu.temperature_celsius
        shown["power_watts"] = gpu.power_watts
    return shown


def variant_telemetry(resident: ResidentVariant, alarm: Alarm | None) -> VariantTelemetry:
    return {
        "variant_id": resident["variant_id"],
        "purpose": resident["purpose"],
        "name": resident["name"],
        "state": resident["state"],
        "pinned": resident["pinned"],
        "fraction": resident["fraction"],
        "reserved_bytes": resident["reserved_bytes"],
        "slots_busy": resident["slots_busy"],
        "n_seq_max": resident["n_seq_max"],
        "queued": resident["queued"],
        "tokens_per_second": resident["tokens_per_second"],
        "tokens_total": resident["tokens_total"],
        "idle_seconds": resident["idle_seconds"],
        "keep_alive_seconds": resident["keep_alive_seconds"],
        "n_ctx_seq": resident["n_ctx_seq"],
        "n_layers": resident["n_layers"],
        "n_gpu_layers": resident["n_gpu_layers"],
        "wanted_gpu_layers": resident["wanted_gpu_layers"],
        "type_k": resident["type_k"],
        "type_v": resident["type_v"],
        "mode": resident["mode"],
        "failure_detail": resident["failure_detail"],
        "load_seconds": resident["load_seconds"],
        "alarm": alarm,
    }


def queue(status: HostStatus) -> list[QueueEntry]:
    return [
        {
            "position": each["position"],
            "user": each["user"],
            "variant_id": each["variant_id"],
            "purpose": each["purpose"],
            "variant": each["variant"],
            "kind": each["kind"],
            "wait": each["wait"],
            "waiting_seconds": each["waiting_seconds"],
        }
        for each in status["queue"]
    ]


def figures(devices: Sequence[DeviceTelemetry], status: HostStatus) -> dict[str, float | None]:
    """This moment's row of the history."""
    row: dict[str, float | None] = {}
    for each in devices:
        row[f"{each['device']}.used_bytes"] = each["used_bytes"]
        row[f"{each['device']}.utilisation_percent"] = each["utilisation_percent"]
    for resident in status["residents"]:
        if resident["state"] in ("resident", "draining"):
            row[f"variant.{resident_id_of(resident)}.tokens_per_second"] = resident["tokens_per_second"]
    return row


class Settled:
    """Foreign memory as the ledger should believe it: it rises when it has stood for SETTLED_SAMPLES, and falls at once."""

    def __init__(self) -> None:
        self._last: dict[str, deque[int]] = {}

    def of(self, device: str) -> int | None:
        """None: never known."""
        last = self._last.get(device)
        return min(last) if last else None

    def settle(self, seen: Mapping[str, int | None]) -> dict[str, int]:
        """By device. A device whose foreign memory is not known at the moment keeps what it had, and is left out where nothing
        was ever known."""
        for device, n in seen.items():
            if n is not None:
                self._last.setdefault(device, deque(maxlen=SETTLED_SAMPLES)).append(n)
        return {device: min(last) for device, last in self._last.items() if device in seen}
