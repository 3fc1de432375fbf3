"""Silent exhaustion: everything "fits", no error, and answers come ten times slower, because the driver or the system spills.

Signs on a card: memory at least 97 % used, the processor busy, the memory's bandwidth near idle, and tokens/s under a third
of the variant's own baseline at that context. In RAM: pages come in from swap while tokens/s are under that third.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from inference.core.loads.devices import RAM
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay

FULL_SHARE = 0.97
BUSY_PERCENT = 80.0
IDLE_BANDWIDTH_PERCENT = 15.0
SLOW_SHARE = 1 / 3
"""Of the baseline."""
SWAPPING_BYTES_PER_SECOND = 1 << 20
SUSTAINED_SAMPLES = 5
"""In a row, before an alarm is raised; as many without the signs clear it."""
BASELINE_SAMPLES = 10
"""Healthy ones, before a variant's own speed is known."""
ROOM_SHARE = 0.90
"""The cure leaves at least the rest of the card free: compute buffers of small cards need that much."""

AlarmKind = Literal["spilling", "swapping"]


@dataclass(frozen=True, slots=True)
class DeviceLoad:
    """A device at one moment; None: not known, and then it is no sign of anything."""

    device: str
    capacity_bytes: int
    used_bytes: int | None
    utilisation_percent: float | None = None
    bandwidth_percent: float | None = None
    swap_in_bytes_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class RunningVariant:
    """A resident variant at one moment."""

    resident_id: ResidentId
    n_ctx_seq: int
    slots_busy: int
    tokens_per_second: float
    """Of all slots together."""
    bytes_by_device: Mapping[str, int]
    n_gpu_layers: int | None = None
    """None: not known."""
    ways: Sequence[LoadWay] = ()
    """Others to load it, best first."""
    predicted_tokens_per_second: float | None = None
    """Of one slot; stands in for the baseline of a variant that never ran well: the trap may be its first load."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """Loading it with fewer layers on the card frees this much there."""

    n_gpu_layers: int
    frees_bytes: int


@dataclass(frozen=True, slots=True)
class Alarm:
    resident_id: ResidentId
    device: str
    kind: AlarmKind
    tokens_per_second: float
    baseline_tokens_per_second: float
    n_gpu_layers: int | None
    remedy: Remedy | None
    """None: no way to load it that is known would leave room."""


@dataclass(slots=True)
class _Baseline:
    """Speed of healthy samples: a mean that forgets slowly."""

    tokens_per_second: float = 0.0
    n_samples: int = 0

    def learn(self, tokens_per_second: float) -> None:
        self.n_samples += 1
        weight = max(1 / self.n_samples, 0.02)
        self.tokens_per_second += weight * (tokens_per_second - self.tokens_per_second)


@dataclass(slots=True)
class _Watch:
    """One variant on one device."""

    n_with_signs: int = 0
    n_without: int = 0
    alarm: Alarm | None = None

    def without_signs(self) -> None:
        self.n_with_signs, self.n_without = 0, self.n_without + 1
        if self.n_without >= SUSTAINED_SAMPLES:
            self.alarm = None


@dataclass(slots=True)
class Alarms:
    """To be told each sample, one a second; remembers baselines for as long as it lives."""

    _baselines: dict[tuple[ResidentId, int, int], _Baseline] = field(default_factory=dict)
    """By variant, context of a slot and busy slots: only like is compared with like."""
    _watches: dict[tuple[ResidentId, str], _Watch] = field(default_factory=dict)

    def observe(self, running: Iterable[RunningVariant], devices: Iterable[DeviceLoad]) -> tuple[Alarm, ...]:
        """The alarms that stand now. A variant that is not running any more loses its alarms; an idle one keeps them."""
        running, loads = tuple(running), {each.device: each for each in devices}
        present: set[tuple[ResidentId, str]] = set()
        for each in running:
            for device in each.bytes_by_device:
                present.add((each.resident_id, device))
            if each.slots_busy:
                self._observe(each, loads)
            else:
                self._relax(each, loads)
        for key in [key for key in self._watches if key not in present]:
            del self._watches[key]
        return tuple(watch.alarm for watch in self._watches.values() if watch.alarm is not None)

    def _observe(self, running: RunningVariant, loads: Mapping[str, DeviceLoad]) -> None:
        on = [load for device in running.bytes_by_device if (load := loads.get(device)) is not None]
        strained = [load for load in on if _kind(load) is not None]
        baseline = self._baselines.setdefault((running.resident_id, running.n_ctx_seq, running.slots_busy), _Baseline())
        # A prompt that is being read gives no tokens: that is no slowness.
        if not strained and running.tokens_per_second > 0:
            baseline.learn(running.tokens_per_second)
        usual = (
            baseline.tokens_per_second
            if baseline.n_samples >= BASELINE_SAMPLES
            else running.predicted_tokens_per_second
        )
        slow = usual is not None and running.tokens_per_second < SLOW_SHARE * usual
        for load in on:
            watch = self._watches.setdefault((running.resident_id, load.device), _Watch())
            kind = _kind(load)
            if kind is not None and slow and usual is not None:
                watch.n_with_signs, watch.n_without = watch.n_with_signs + 1, 0
                if watch.n_with_signs >= SUSTAINED_SAMPLES and watch.alarm is None:
                    watch.alarm = Alarm(
                        running.resident_id,
                        load.device,
                        kind,
                        running.tokens_per_second,
                        usual,
                        running.n_gpu_layers,
                        remedy(running, load),
                    )
            else:
                watch.without_signs()

    def _relax(self, running: RunningVariant, loads: Mapping[str, DeviceLoad]) -> None:
        """An idle variant shows no speed; its alarm goes when the device has room again."""
        for device in running.bytes_by_device:
            watch, load = self._watches.get((running.resident_id, device)), loads.get(device)
            if watch is not None and load is not None and not _is_full(load):
                watch.without_signs()


def _is_full(load: DeviceLoad) -> bool:
    if load.device == RAM:
        return (load.swap_in_bytes_per_second or 0.0) >= SWAPPING_BYTES_PER_SECOND
    return load.used_bytes is not None and load.used_bytes >= FULL_SHARE * load.capacity_bytes


def _kind(load: DeviceLoad) -> AlarmKind | None:
    """Which trouble the device shows signs of, were answers slow as well."""
    if not _is_full(load):
        return None
    if load.device == RAM:
        return "swapping"
    if load.utilisation_percent is None or load.bandwidth_percent is None:
        return None
    stuck = load.utilisation_percent >= BUSY_PERCENT and load.bandwidth_percent <= IDLE_BANDWIDTH_PERCENT
    return "spilling" if stuck else None


def remedy(running: RunningVariant, load: DeviceLoad) -> Remedy | None:
    """The best way with fewer layers on the card that leaves it room. None where no known way does, or in RAM."""
    if load.device == RAM or load.used_bytes is None:
        return None
    excess_bytes = load.used_bytes - int(ROOM_SHARE * load.capacity_bytes)
    held_bytes = running.bytes_by_device.get(load.device, 0)
    for way in running.ways:
        layers = way.options.n_gpu_layers
        frees_bytes = held_bytes - way.bytes_by_device.get(load.device, 0)
        fewer = layers is not None and (running.n_gpu_layers is None or layers < running.n_gpu_layers)
        if layers is not None and fewer and frees_bytes >= max(1, excess_bytes):
            return Remedy(layers, frees_bytes)
    return None
