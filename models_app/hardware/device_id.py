"""The id of a device, as budgets, the ledger and the wire write it: `ram`, `gpu0`, `gpu1`, … Pure."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

PoolKind = Literal["memory", "clients"]
"""What is counted: bytes, or workers that a server on another machine answers at once."""

_GPU = re.compile(r"gpu(\d+)(/clients)?")


class DeviceId(str):
    """A string, so that it is a key of dicts and of JSON. GPUs are numbered in the order of the hardware profile."""

    __slots__ = ()
    RAM: ClassVar[DeviceId]

    @classmethod
    def gpu(cls, number: int) -> DeviceId:
        return cls(f"gpu{number}")

    @property
    def number(self) -> int:
        """Of a GPU: its place in the hardware profile. Raises ValueError for the RAM."""
        found = _GPU.fullmatch(self)
        if found is None:
            raise ValueError(f"{self} is no GPU")
        return int(found[1])

    @property
    def clients(self) -> DeviceId:
        """The pool beside the memory of a GPU on another machine: its server answers only so many workers at once. What it holds
        is counted like bytes, one for each worker."""
        return DeviceId(f"{self}/clients")

    @property
    def kind(self) -> PoolKind:
        return "clients" if self.endswith("/clients") else "memory"


DeviceId.RAM = DeviceId("ram")
