"""NVIDIA cards, as NVML tells of them. The one importer of pynvml. Initialises no CUDA."""

from __future__ import annotations

from contextlib import suppress

import pynvml

from models_app.hardware.cards import card
from models_app.hardware.profile import Device

_LANE_BYTES_PER_SECOND = {1: 250_000_000, 2: 500_000_000, 3: 985_000_000, 4: 1_969_000_000, 5: 3_938_000_000}
"""By PCIe generation."""


def nvidia_gpus() -> tuple[Device, ...]:
    """Every card the driver shows; none without a driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
        return tuple(_device(handle) for handle in handles)
    except pynvml.NVMLError:
        return ()
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _device(handle: object) -> Device:
    name = pynvml.nvmlDeviceGetName(handle)
    known = card(name)
    return Device(
        name,
        "gpu",
        int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
        _bandwidth(handle) or (known.bandwidth_bytes_per_second if known else None),
        _pcie(handle),
    )


def _bandwidth(handle: object) -> int | None:
    """Two transfers a clock over the whole bus. None where the driver does not tell."""
    try:
        width_bits = pynvml.nvmlDeviceGetMemoryBusWidth(handle)
        clock_mhz = pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_MEM)
    except pynvml.NVMLError:
        return None
    return int(2 * clock_mhz * 1_000_000 * width_bits // 8) or None


def _pcie(handle: object) -> int | None:
    try:
        generation = pynvml.nvmlDeviceGetMaxPcieLinkGeneration(handle)
        lanes = pynvml.nvmlDeviceGetMaxPcieLinkWidth(handle)
    except pynvml.NVMLError:
        return None
    lane = _LANE_BYTES_PER_SECOND.get(generation)
    return None if lane is None else int(lane * lanes)
