"""What each device may hold, and what it holds."""

from __future__ import annotations

from dataclasses import dataclass

RAM = "ram"
"""The host's memory among devices; the GPUs are `gpu0`, `gpu1`, … in the order of the hardware profile."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A device's memory, as its owner and the other programs on the box leave it to us. All in bytes."""

    device: str
    name: str
    """For a person: `NVIDIA GeForce RTX 3060`, `RAM`."""
    capacity_bytes: int
    budget_bytes: int
    """The most that reservations may add up to."""
    reserve_bytes: int = 0
    """Kept free, whoever else uses the device."""
    foreign_bytes: int = 0
    """Used by programs that are not ours, when last sampled."""
