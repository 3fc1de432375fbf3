"""NVIDIA cards, as NVML tells of them. The one importer of pynvml. Initialises no CUDA."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from models_app.hardware.cards import card
from models_app.hardware.profile import Device

_LANE_BYTES_PER_SECOND = {1: 250_000_000, 2: 500_000_000, 3: 985_000_000, 4: 1_969_000_000, 5: 3_938_000_000}
"""By PCIe generation."""
RETRY_SECONDS = 10.0
"""Between attempts to reach a driver that is not there: it may be loaded, or come back from an update."""

T = TypeVar("T")


class NoDriver(Exception):
    """No NVIDIA driver answers. The message says what NVML said."""


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One card at one moment. None: the driver does not tell."""

    name: str
    bus_id: str | None
    """As `pci_address` writes it: the order of the driver's cards is not that of anybody else."""
    total_bytes: int | None
    used_bytes: int | None
    """By everybody, the driver's own share included."""
    utilisation_percent: int | None
    """Of the last sampling period, in which some kernel ran."""
    bandwidth_percent: int | None
    """Of that period, in which the card's memory was read or written."""
    temperature_celsius: int | None
    power_watts: float | None
    process_bytes: Mapping[int, int] | None
    """By process id; processes whose bytes the driver hides are left out."""


class Nvml:
    """One session with the driver, kept open between readings and opened again after it was lost. Blocks; one thread's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._nvml: Any = None
        self._retry_at = float("-inf")

    def read(self) -> tuple[GpuReading, ...]:
        """Every card, in the driver's order; none without a driver. Never raises for what a driver may say."""
        if self._nvml is None and not self._open():
            return ()
        nvml = self._nvml
        try:
            handles = _handles(nvml)
        except nvml.NVMLError:
            self.close()
            self._retry_at = self._clock() + RETRY_SECONDS
            return ()
        return tuple(_reading(nvml, handle) for handle in handles)

    def close(self) -> None:
        """The next reading opens a session anew."""
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            with suppress(nvml.NVMLError):
                nvml.nvmlShutdown()

    def _open(self) -> bool:
        now = self._clock()
        if now < self._retry_at:
            return False
        try:
            self._nvml = _session()
        except NoDriver:
            self._retry_at = now + RETRY_SECONDS
            return False
        return True


def nvidia_gpus() -> tuple[Device, ...]:
    """Every card whose memory the driver tells; none without a driver."""
    try:
        nvml = _session()
    except NoDriver:
        return ()
    try:
        return tuple(device for handle in _handles(nvml) if (device := _device(nvml, handle)) is not None)
    except nvml.NVMLError:
        return ()
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _session() -> Any:
    """pynvml, initialised. Raises NoDriver.

    On a machine without the library pynvml is not even imported: it is megabytes that most boxes never need.
    """
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError as error:
        raise NoDriver(str(error)) from None
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NoDriver(str(error)) from None
    return pynvml


def _handles(nvml: Any) -> list[Any]:
    """Raises NVMLError: the session is of no use any more, or a card has left the bus."""
    return [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]


def _query(nvml: Any, ask: Callable[..., T], *arguments: Any) -> T | None:
    """The driver's answer; None where this card, driver or moment has none."""
    try:
        return ask(*arguments)
    except nvml.NVMLError:
        return None


def _reading(nvml: Any, handle: Any) -> GpuReading:
    memory = _query(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    rates = _query(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
    processes = _query(nvml, nvml.nvmlDeviceGetComputeRunningProcesses, handle)
    milliwatts = _query(nvml, nvml.nvmlDeviceGetPowerUsage, handle)
    return GpuReading(
        name=_name(nvml, handle),
        bus_id=_bus_id(nvml, handle),
        total_bytes=int(memory.total) if memory else None,
        # Not `used`: newer drivers leave their own share out of it, and nobody else can have that.
        used_bytes=int(memory.total - memory.free) if memory else None,
        utilisation_percent=int(rates.gpu) if rates else None,
        bandwidth_percent=int(rates.memory) if rates else None,
        temperature_celsius=_query(nvml, nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
        power_watts=None if milliwatts is None else milliwatts / 1000,
        process_bytes=None
        if processes is None
        else {each.pid: int(each.usedGpuMemory) for each in processes if each.usedGpuMemory is not None},
    )


def _name(nvml: Any, handle: Any) -> str:
    return _query(nvml, nvml.nvmlDeviceGetName, handle) or "NVIDIA GPU"


def _bus_id(nvml: Any, handle: Any) -> str | None:
    pci = _query(nvml, nvml.nvmlDeviceGetPciInfo, handle)
    if pci is None:
        return None
    address = pci.busId
    return pci_address(address.decode() if isinstance(address, bytes) else address)


def pci_address(text: str) -> str | None:
    """`0000:01:00.0`, however many digits and capitals `text` has; None for what is no address on the PCI bus."""
    domain, _, place = text.strip().lower().partition(":")
    try:
        return f"{int(domain, 16):04x}:{place}"
    except ValueError:
        return None


def _device(nvml: Any, handle: Any) -> Device | None:
    memory = _query(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    if memory is None:
        return None
    name = _name(nvml, handle)
    known = card(name)
    return Device(
        name,
        "gpu",
        int(memory.total),
        _bandwidth(nvml, handle) or (known.bandwidth_bytes_per_second if known else None),
        _pcie(nvml, handle),
    )


def _bandwidth(nvml: Any, handle: Any) -> int | None:
    """Two transfers a clock over the whole bus. None where the driver does not tell."""
    width_bits = _query(nvml, nvml.nvmlDeviceGetMemoryBusWidth, handle)
    clock_mhz = _query(nvml, nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_MEM)
    if not width_bits or not clock_mhz:
        return None
    return int(2 * clock_mhz * 1_000_000 * width_bits // 8)


def _pcie(nvml: Any, handle: Any) -> int | None:
    generation = _query(nvml, nvml.nvmlDeviceGetMaxPcieLinkGeneration, handle)
    lanes = _query(nvml, nvml.nvmlDeviceGetMaxPcieLinkWidth, handle)
    lane = None if generation is None else _LANE_BYTES_PER_SECOND.get(generation)
    return None if lane is None or lanes is None else int(lane * lanes)
