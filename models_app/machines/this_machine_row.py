"""This machine's row among the profiles: detected once, kept current on demand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import transaction

from models_app.audit import CHANGE, record
from models_app.hardware import Profile
from models_app.hardware.budgets import NAMES
from models_app.hardware.cards import card
from models_app.hardware.pools import with_ram_budget
from models_app.hardware.stored import gpus_to_json
from models_app.hardware.this_machine import NAME, detect
from models_app.models import HardwareProfile
from models_app.units import format_bytes


def this_machine(*, again: bool = False) -> HardwareProfile:
    """The stored row, or a fresh look at the machine. Budgets that the owner set stay. Blocks for a second if it looks."""
    row = HardwareProfile.objects.filter(is_this_machine=True).first()
    return row if row is not None and not again else _stored(row, detect())


def this_box() -> Profile:
    """This machine with HOSTUI_BUDGET, which goes before the RAM budget that is stored.

    Blocks on the database, and for a second where the machine was never looked at. Raises BadDevices.
    """
    return with_ram_budget(this_machine().profile(), settings.BUDGET_BYTES)


def this_machine_now() -> HardwareProfile:
    """The row as the machine is plugged together now; its RAM's speed as once measured. Blocks for a second where it never was.

    A driver that tells of no card may just have failed: what is stored stays then, with its budgets.
    """
    row = HardwareProfile.objects.filter(is_this_machine=True).first()
    if row is None:
        return this_machine()
    found = detect(ram_bandwidth_bytes_per_second=row.ram_bandwidth_bytes_per_second)
    known = [(gpu["name"], gpu["memory_bytes"]) for gpu in row.gpus if "engine_key" not in gpu]
    cards = [(gpu.name, gpu.memory_bytes) for gpu in found.gpus] or known
    is_current = (cards, found.ram.memory_bytes, found.n_cores) == (known, row.ram_bytes, row.n_cores)
    if is_current:
        return row
    with transaction.atomic():
        row = _stored(row, found, keep_gpus=not found.gpus)
        cards_now = ", ".join(gpu["name"] for gpu in row.gpus) or "no card"
        message = (
            f"This machine is another one now: {cards_now}, {format_bytes(row.ram_bytes)} of RAM, {row.n_cores} cores."
        )
        record([row], None, CHANGE, message)
    return row


def _stored(row: HardwareProfile | None, found: Profile, *, keep_gpus: bool = False) -> HardwareProfile:
    gpus = gpus_to_json(found.gpus)
    if row is not None:
        gpus += [old for old in row.gpus if "engine_key" in old]
        _keep_amounts(row.gpus, gpus)
        if keep_gpus:
            gpus = row.gpus
    now = {
        "gpus": gpus,
        "ram_bytes": found.ram.memory_bytes,
        "ram_bandwidth_bytes_per_second": found.ram.bandwidth_bytes_per_second,
        "n_cores": found.n_cores,
    }
    with transaction.atomic():
        row, _ = HardwareProfile.objects.update_or_create(
            is_this_machine=True, defaults=now, create_defaults={"name": NAME, "is_this_machine": True, **now}
        )
    return row


def _keep_amounts(known: list[dict[str, Any]], found: list[dict[str, Any]]) -> None:
    """A card that was plugged in or out moves the others along: each keeps what was set for one of its name."""
    unclaimed = list(known)
    for gpu in found:
        same = next((each for each in unclaimed if each.get("name") == gpu["name"]), None)
        if same is not None:
            unclaimed.remove(same)
            gpu.update({name: same[name] for name in NAMES if name in same})


class UnknownProfile(LookupError):
    """Neither a stored profile nor a known card has this name."""


def profile_named(name: str) -> Profile:
    """A stored profile's, or this machine with the card so named instead of its own. Raises UnknownProfile, BadDevices."""
    row = HardwareProfile.objects.filter(name=name).first()
    if row is not None:
        return row.profile()
    found = card(name)
    if found is None:
        raise UnknownProfile(name)
    return replace(this_machine().profile(), name=found.name, gpus=(found,))
