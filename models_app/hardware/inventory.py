"""This machine's row among the profiles: detected once, kept current on demand."""

from __future__ import annotations

from django.db import transaction

from models_app.hardware.stored import gpus_to_json
from models_app.hardware.this_machine import NAME, detect
from models_app.models import HardwareProfile

_OWNERS = ("budget", "reserve")


def this_machine(*, again: bool = False) -> HardwareProfile:
    """The stored row, or a fresh look at the machine. Budgets that the owner set stay. Blocks for a second if it looks."""
    row = HardwareProfile.objects.filter(is_this_machine=True).first()
    if row is not None and not again:
        return row
    found = detect()
    gpus = gpus_to_json(found.gpus)
    if row is not None:
        gpus += [old for old in row.gpus if "engine_key" in old]
        for old, new in zip(row.gpus, gpus, strict=False):
            if old.get("name") == new["name"]:
                new.update({key: old[key] for key in _OWNERS if key in old})
    with transaction.atomic():
        row, _ = HardwareProfile.objects.update_or_create(
            is_this_machine=True,
            defaults={
                "gpus": gpus,
                "ram_bytes": found.ram.memory_bytes,
                "ram_bandwidth_bytes_per_second": found.ram.bandwidth_bytes_per_second,
                "n_cores": found.n_cores,
            },
            create_defaults={
                "name": NAME,
                "is_this_machine": True,
                "gpus": gpus,
                "ram_bytes": found.ram.memory_bytes,
                "ram_bandwidth_bytes_per_second": found.ram.bandwidth_bytes_per_second,
                "n_cores": found.n_cores,
            },
        )
    return row
