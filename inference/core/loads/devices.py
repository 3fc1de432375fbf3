"""Devices by name, and bytes on them."""

from __future__ import annotations

from collections.abc import Mapping

RAM = "ram"
"""The host's memory among devices; the GPUs are `gpu0`, `gpu1`, … in the order of the hardware profile."""


BytesByDevice = Mapping[str, int]
"""By `Pool.device`."""


def clients_of(device: str) -> str:
    """The pool beside the memory of a device on another machine: its server answers only so many workers at once. What it holds
    is counted like bytes, one for each worker."""
    return f"{device}/clients"


def is_memory(device: str) -> bool:
    return not device.endswith("/clients")
