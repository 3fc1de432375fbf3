"""Hardware as placement sees it: devices with memory, bandwidth and a budget. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

GIB = 1 << 30
MIB = 1 << 20

DeviceKind = Literal["gpu", "ram"]

_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]i?B|B)?\s*(/s)?\s*", re.IGNORECASE)
_PERCENT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*")
_UNITS: dict[str, int] = {"b": 1} | {
    f"{letter}{suffix}": int(base**power)
    for power, letter in enumerate("kmgt", start=1)
    for suffix, base in (("b", 1000), ("ib", 1024))
}
_LARGEST = 1 << 50


class BadAmount(ValueError):
    """Text that is no amount of bytes. The message is a phrase for a person."""


def parse_bytes(text: str) -> int:
    """`11.5GiB`, `360GB/s`, `512 MiB` or a plain number of bytes. Raises BadAmount."""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise BadAmount(f"{text!r} is no amount of bytes; write 12GiB, 512MiB or 360GB/s")
    amount = round(float(found[1]) * _UNITS[(found[2] or "B").lower()])
    if amount > _LARGEST:
        raise BadAmount(f"{text!r} is more than any machine has")
    return amount


@dataclass(frozen=True, slots=True)
class Budget:
    """A share of a device's memory, in bytes or percent."""

    n_bytes: int | None = None
    percent: float | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """`11.5GiB` or `90%`. Raises BadAmount."""
        found = _PERCENT.fullmatch(text)
        if found is None:
            return cls(n_bytes=parse_bytes(text))
        if float(found[1]) > 100:
            raise BadAmount(f"{text!r} is more than the whole")
        return cls(percent=float(found[1]))

    def exceeds(self, memory_bytes: int) -> bool:
        return self.n_bytes is not None and self.n_bytes > memory_bytes

    def of(self, memory_bytes: int) -> int:
        if self.n_bytes is not None:
            return min(self.n_bytes, memory_bytes)
        return int(memory_bytes * (100.0 if self.percent is None else self.percent) / 100)


CUDA_CONTEXT_BYTES = 320 * MIB
PROCESS_BYTES = 32 * MIB
"""The interpreter, the libraries and the vocabulary: 6 to 20 MB more than its buffers was seen of a worker, as not all of a buffer is
touched."""


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or the memory of the host."""

    name: str
    kind: DeviceKind
    memory_bytes: int
    bandwidth_bytes_per_second: int | None = None
    pcie_bytes_per_second: int | None = None
    """Between it and the host's memory."""
    budget: Budget | None = None
    """None: everything but the reserve."""
    reserve: Budget | None = None
    """None: enough for a desktop, as far as a budget that is set leaves that."""
    is_remote: bool = False
    """On another machine, whose own server holds the driver's context."""

    @property
    def overhead_bytes(self) -> int:
        """What a worker is expected to hold here beyond its buffers, until that is measured."""
        if self.kind == "ram":
            return PROCESS_BYTES
        return 0 if self.is_remote else CUDA_CONTEXT_BYTES

    @property
    def reserve_bytes(self) -> int:
        """Kept free. What the owner set goes before our default; of two that are set the reserve goes first."""
        if self.reserve is not None:
            return self.reserve.of(self.memory_bytes)
        if self.budget is not None:
            return min(self._desktop_bytes, self.memory_bytes - self.budget.of(self.memory_bytes))
        return self._desktop_bytes

    @property
    def budget_bytes(self) -> int:
        """Spendable: what the owner allows, and never what is kept free."""
        spendable = self.memory_bytes - self.reserve_bytes
        return spendable if self.budget is None else min(self.budget.of(self.memory_bytes), spendable)

    @property
    def _desktop_bytes(self) -> int:
        if self.kind == "gpu":
            return min(self.memory_bytes // 4, max(384 * MIB, self.memory_bytes // 20))
        return min(self.memory_bytes // 4, max(2 * GIB, self.memory_bytes // 10))


@dataclass(frozen=True, slots=True)
class Profile:
    """A machine, whether it stands here or not."""

    name: str
    ram: Device
    gpus: tuple[Device, ...] = field(default=())
    n_cores: int = 4
    """Physical ones."""
