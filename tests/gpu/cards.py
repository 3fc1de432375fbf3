"""The CUDA cards of this machine, as llama.cpp numbers them and as NVML reads them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference.core.loads.engine_devices import EngineDevices
from inference.engine.tools.children import ListedGpu, list_gpus
from inference.host.workers.environment import worker_environment
from models_app.hardware import Device
from models_app.hardware.nvidia import GpuReading, Nvml, pci_address


@dataclass(frozen=True, slots=True)
class Held:
    """What one process holds of one card."""

    n_bytes: int
    is_told: bool
    """By the driver, of the process itself. False: it hides processes, and this is what the card's use grew by."""


class Cards:
    """The names are ours, `gpu0`, `gpu1`, … in llama.cpp's order. NVML is asked anew at each look."""

    def __init__(self, listed: Sequence[ListedGpu]) -> None:
        self.listed: Mapping[str, ListedGpu] = {f"gpu{number}": each for number, each in enumerate(listed)}
        self._nvml = Nvml()

    @property
    def engine_devices(self) -> EngineDevices:
        return EngineDevices(gpus=tuple((device, each.key) for device, each in self.listed.items()))

    @property
    def names(self) -> Sequence[str]:
        return [each.name for each in self.listed.values()]

    def all_read(self) -> Sequence[GpuReading]:
        """In NVML's order, those that llama.cpp may not use among them."""
        return self._nvml.read()

    def read(self) -> Mapping[str, GpuReading]:
        by_place = {each.bus_id: each for each in self.all_read() if each.bus_id is not None}
        return {device: by_place[pci_address(each.bus_id or "") or ""] for device, each in self.listed.items()}

    def used_bytes(self) -> dict[str, int]:
        """By everybody."""
        return {device: each.used_bytes or 0 for device, each in self.read().items()}

    def free_bytes(self) -> dict[str, int]:
        return {device: (each.total_bytes or 0) - (each.used_bytes or 0) for device, each in self.read().items()}

    def held(self, pid: int, used_before: Mapping[str, int]) -> dict[str, Held]:
        """By a process that began after `used_before` was read, on each card that it holds anything of."""
        held = {}
        for device, reading in self.read().items():
            told = (reading.process_bytes or {}).get(pid)
            if told is None:
                # Where the driver names any process it names every one: this one holds nothing here.
                grown = 0 if reading.process_bytes else max(0, (reading.used_bytes or 0) - used_before[device])
                held[device] = Held(grown, False)
            else:
                held[device] = Held(told, True)
        return {device: each for device, each in held.items() if each.n_bytes}

    def close(self) -> None:
        self._nvml.close()


def cuda_cards() -> Cards:
    listed = asyncio.run(list_gpus((), worker_environment(os.environ)))
    return Cards([each for each in listed if each.key.startswith("CUDA")])


def devices(cards: Cards) -> tuple[Device, ...]:
    """For a hardware profile: each card with the memory that NVML counts."""
    return tuple(Device(each.name, "gpu", each.total_bytes or 0) for each in cards.read().values())
