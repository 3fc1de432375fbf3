"""Devices by id, and bytes on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models_app.hardware.device_id import DeviceId, PoolKind

__all__ = ["RAM", "BytesByDevice", "BytesOn", "DeviceId", "PoolKind", "memory_only"]

RAM = DeviceId.RAM
"""The host's memory among devices."""


BytesByDevice = Mapping[str, int]
"""By DeviceId, which plain text of JSON equals."""


@dataclass(frozen=True, slots=True)
class BytesOn:
    """A part of a device's memory, with what people call that device."""

    device: str
    """A DeviceId."""
    device_name: str
    n_bytes: int


def memory_only(bytes_by_device: BytesByDevice) -> dict[str, int]:
    """Without what is no memory: places at the servers of other machines."""
    return {device: n for device, n in bytes_by_device.items() if DeviceId(device).kind == "memory"}
