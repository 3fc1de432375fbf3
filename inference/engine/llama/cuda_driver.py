"""What CUDA's driver says of a card without a context on it, which takes some hundred MB and fails on a full card."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

_LONGEST_BUS_ID = 64


@dataclass(frozen=True, slots=True)
class Card:
    """A card in this machine."""

    memory_bytes: int
    bus_id: str
    """`0000:01:00.0`."""


def card(number: int) -> Card | None:
    """The card with CUDA's number, by CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER. None: there is no driver or no answer."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        total_memory, pci_bus_id = cuda.cuDeviceTotalMem_v2, cuda.cuDeviceGetPCIBusId
    except (OSError, AttributeError):
        return None
    device, n_bytes, bus_id = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(_LONGEST_BUS_ID)
    failed = (
        cuda.cuInit(0)
        or cuda.cuDeviceGet(ctypes.byref(device), number)
        or total_memory(ctypes.byref(n_bytes), device)
        or pci_bus_id(bus_id, _LONGEST_BUS_ID, device)
    )
    return None if failed else Card(n_bytes.value, bus_id.value.decode("ascii", "replace").lower())
