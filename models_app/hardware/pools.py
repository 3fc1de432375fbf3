"""A profile's devices as pools of bytes: what a ledger needs to know of each. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from models_app.hardware.device_id import DeviceId
from models_app.hardware.profile import Budget, Device, Profile

RAM = DeviceId.RAM


@dataclass(frozen=True, slots=True)
class DevicePool:
    """One device. The names are those of the ledger's pools, so `asdict` makes one."""

    device: str
    """`ram`, or `gpu0`, `gpu1`, … in the order of the profile."""
    name: str
    capacity_bytes: int
    budget_bytes: int
    reserve_bytes: int


def named_devices(profile: Profile) -> Iterator[tuple[str, Device]]:
    """Every device by its id, the RAM first."""
    yield RAM, profile.ram
    for number, gpu in enumerate(profile.gpus):
        yield DeviceId.gpu(number), gpu


def with_ram_budget(profile: Profile, ram_budget_bytes: int | None) -> Profile:
    """The profile whose RAM budget is this instead of its own, unless it is None.

    The box's HOSTUI_BUDGET goes before what is stored: whoever may set the environment of the box owns it.
    """
    if ram_budget_bytes is None:
        return profile
    return replace(profile, ram=replace(profile.ram, budget=Budget(n_bytes=ram_budget_bytes)))


def profile_pools(profile: Profile, *, ram_budget_bytes: int | None = None) -> tuple[DevicePool, ...]:
    """The RAM first, then the GPUs. `ram_budget_bytes`: as in `with_ram_budget`."""
    return tuple(
        DevicePool(device, each.name, each.memory_bytes, each.budget_bytes, each.reserve_bytes)
        for device, each in named_devices(with_ram_budget(profile, ram_budget_bytes))
    )
