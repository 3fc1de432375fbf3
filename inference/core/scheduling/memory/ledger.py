"""What each device may hold, and what it holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from inference.core.loads.devices import RAM, BytesByDevice, BytesOn, PoolKind, memory_only

FOREIGN_NOISE_SHARE = 1 / 256
"""Of a device's capacity. What other programs use jitters by some MB from sample to sample (file cache, a compositor's
buffers): foreign memory must overdraw a device by more than this before anybody leaves for it, and once somebody has left,
the overdraft must be gone wholly. 48 MiB of a 12 GiB card, 256 MiB of 64 GiB of RAM; the owner's reserve covers it."""


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
    kind: PoolKind = "memory"
    """`clients`: what is counted in "bytes" are workers that the server of a device on another machine answers at once."""

    @property
    def own_bytes(self) -> int:
        """The most that reservations may add up to while nobody else uses the device."""
        return max(0, min(self.budget_bytes, self.capacity_bytes - self.reserve_bytes))

    @property
    def spendable_bytes(self) -> int:
        """The most that reservations may add up to now."""
        return max(0, min(self.budget_bytes, self.capacity_bytes - self.reserve_bytes - self.foreign_bytes))

    @property
    def noise_bytes(self) -> int:
        return int(self.capacity_bytes * FOREIGN_NOISE_SHARE)


ShortageCause = Literal["foreign", "budget"]


@dataclass(frozen=True, slots=True)
class Shortage:
    """A device holds more than it should. `cause`: what makes it too much."""

    device: str
    excess_bytes: int
    cause: ShortageCause


class Overdrawn(Exception):
    """A reservation was made that does not fit: whoever reserves must ask first."""

    def __init__(self, launch: int, device: str, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(f"launch {launch} reserves {needed_bytes} bytes of {device}, where {free_bytes} are free")
        self.device = device
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class Ledger:
    """Bytes by launch and device. Written by scheduling.scheduler alone.

    A device that is in no pool has no bytes. `reserve` keeps every device within `Pool.spendable_bytes`; what others do later
    (a smaller budget, foreign memory, a worker that measures more than was estimated) shows in `shortages`.
    """

    def __init__(self, pools: Iterable[Pool]) -> None:
        self._pools: dict[str, Pool] = {}
        self._held: dict[int, dict[str, int]] = {}
        self._reserved: dict[str, int] = {}
        self._short: dict[str, Shortage] = {}
        self.set_pools(pools)

    @property
    def pools(self) -> Mapping[str, Pool]:
        return self._pools

    @property
    def reserved_bytes(self) -> int:
        """Of the memory of all devices together."""
        return sum(memory_only(self._reserved).values())

    def name(self, device: str) -> str:
        """What people call the device; its id where there is none any more."""
        pool = self._pools.get(device)
        return pool.name if pool else device

    def named(self, bytes_by_device: BytesByDevice) -> tuple[BytesOn, ...]:
        """Memory alone, the GPUs before the RAM."""
        held = [(device, n) for device, n in memory_only(bytes_by_device).items() if n]
        held.sort(key=lambda each: (each[0] == RAM, each[0]))
        return tuple(BytesOn(device, self.name(device), n) for device, n in held)

    def reserved(self, device: str) -> int:
        return self._reserved.get(device, 0)

    def held(self, launch: int) -> BytesByDevice:
        return self._held.get(launch, {})

    def free(self, device: str) -> int:
        """What may still be reserved; below zero while the device is overdrawn."""
        pool = self._pools.get(device)
        return (pool.spendable_bytes if pool else 0) - self.reserved(device)

    def fits(self, wanted: BytesByDevice) -> bool:
        return all(n_bytes <= self.free(device) for device, n_bytes in wanted.items() if n_bytes)

    def reserve(self, launch: int, wanted: BytesByDevice) -> None:
        """Raises Overdrawn where it does not fit."""
        for device, n_bytes in wanted.items():
            if n_bytes and n_bytes > self.free(device):
                raise Overdrawn(launch, device, n_bytes, self.free(device))
        self._hold(launch, wanted)

    def settle(self, launch: int, measured: BytesByDevice) -> None:
        """What was measured replaces what was reserved, more or less. Devices that it doesn't name keep what is reserved."""
        self._hold(launch, {**self.held(launch), **measured})

    def release(self, launch: int) -> None:
        self._hold(launch, {})

    def set_pools(self, pools: Iterable[Pool]) -> None:
        self._pools = {each.device: each for each in pools}
        self._note_shortages()

    @property
    def shortages(self) -> Mapping[str, Shortage]:
        """Devices whose promise is broken. Foreign memory counts from beyond the noise until it fits wholly again."""
        return self._short

    def _hold(self, launch: int, held: BytesByDevice) -> None:
        for device, n_bytes in self._held.pop(launch, {}).items():
            self._reserved[device] -= n_bytes
        kept = {device: n_bytes for device, n_bytes in held.items() if n_bytes}
        if kept:
            self._held[launch] = kept
        for device, n_bytes in kept.items():
            self._reserved[device] = self._reserved.get(device, 0) + n_bytes
        self._note_shortages()

    def _note_shortages(self) -> None:
        short: dict[str, Shortage] = {}
        for device, reserved in self._reserved.items():
            pool = self._pools.get(device)
            excess = -self.free(device)
            if excess <= 0:
                continue
            if pool is None or reserved > pool.own_bytes:
                short[device] = Shortage(device, excess, "budget")
            elif excess > pool.noise_bytes or device in self._short:
                short[device] = Shortage(device, excess, "foreign")
        self._short = short
