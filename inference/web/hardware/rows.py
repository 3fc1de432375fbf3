"""Machines as the hardware page shows them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from django.utils.translation import ngettext

from models_app.hardware import Device, Profile
from models_app.hardware.budgets import AmountName, Amounts, StoredAmounts, warnings
from models_app.hardware.pools import RAM, named_devices, with_ram_budget
from models_app.units import format_bytes, format_rate


@dataclass(frozen=True, slots=True)
class DeviceView:
    device: str
    name: str
    capacity: str
    bandwidth: str | None
    pcie: str | None
    spendable: str
    kept_free: str
    spendable_x: float
    """Where the budget ends, in thousandths of the memory."""
    kept_free_x: float
    """Where what is kept free begins, likewise."""
    stored: Amounts
    written: Amounts
    """In the fields: what is stored, or what a person wrote that would not do."""
    default: Amounts
    """What empty fields mean."""
    problems: Mapping[AmountName, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    setting: str | None = None
    """The box's own setting that goes before the stored budget."""


def device_views(
    profile: Profile, stored: StoredAmounts, pinned_bytes: Mapping[str, int], *, ram_budget_bytes: int | None = None
) -> list[DeviceView]:
    """`pinned_bytes` by device. `ram_budget_bytes`: the box's setting, None where there is none."""
    spent_as = with_ram_budget(profile, ram_budget_bytes)
    return [
        _device_view(device, each, stored.of(device), pinned_bytes.get(device, 0), ram_budget_bytes)
        for device, each in named_devices(spent_as)
    ]


def _device_view(
    device: str, each: Device, stored: Amounts, pinned_bytes: int, ram_budget_bytes: int | None
) -> DeviceView:
    memory_bytes = each.memory_bytes
    return DeviceView(
        device=device,
        name=each.name,
        capacity=format_bytes(memory_bytes),
        bandwidth=_speed(each.bandwidth_bytes_per_second),
        pcie=_speed(each.pcie_bytes_per_second),
        spendable=format_bytes(each.budget_bytes),
        kept_free=format_bytes(each.reserve_bytes),
        spendable_x=round(1000 * each.budget_bytes / memory_bytes, 2),
        kept_free_x=round(1000 * (memory_bytes - each.reserve_bytes) / memory_bytes, 2),
        stored=stored,
        written=stored,
        default=Amounts(
            format_bytes(replace(each, budget=None).budget_bytes),
            format_bytes(replace(each, reserve=None).reserve_bytes),
        ),
        warnings=warnings(each, pinned_bytes),
        setting=format_bytes(ram_budget_bytes) if device == RAM and ram_budget_bytes is not None else None,
    )


def _speed(bytes_per_second: int | None) -> str | None:
    return None if bytes_per_second is None else format_rate(bytes_per_second)


def summary(profile: Profile) -> str:
    """`2 × RTX 3090 (24.0 GiB), 64.0 GiB RAM, 16 cores`."""
    counted: dict[tuple[str, int], int] = {}
    for gpu in profile.gpus:
        key = (gpu.name, gpu.memory_bytes)
        counted[key] = counted.get(key, 0) + 1
    gpus = [
        f"{f'{count} × ' if count > 1 else ''}{name} ({format_bytes(n_bytes)})"
        for (name, n_bytes), count in counted.items()
    ]
    cores = ngettext("{n} core", "{n} cores", profile.n_cores).format(n=profile.n_cores)
    return ", ".join([*gpus, f"{format_bytes(profile.ram.memory_bytes)} RAM", cores])
