"""What people change about machines, each change with an entry in the admin's log: who, when and what."""

from __future__ import annotations

from django.db import transaction

from models_app.audit import ADDITION, CHANGE, DELETION, Change, recent, record
from models_app.hardware.budgets import Amounts, StoredAmounts, change_message
from models_app.hardware.pools import named_devices
from models_app.machines.this_machine_row import this_machine
from models_app.models import HardwareProfile
from models_app.units import format_bytes


class AmountsChanged(Exception):
    """Somebody else was faster. `now` is what is stored."""

    def __init__(self, now: Amounts) -> None:
        super().__init__("changed meanwhile")
        self.now = now


class IsThisMachine(Exception):
    """The machine that hostui runs on is not deleted: it would be detected again at once."""


def stored_amounts(row: HardwareProfile) -> StoredAmounts:
    return StoredAmounts(row.gpus, row.ram_budget, row.ram_reserve)


def change_amounts(pk: int, device: str, was: Amounts, to: Amounts, user_id: int) -> str | None:
    """Stores amounts that budgets.read took, if they still are what the person saw. What changed, None for nothing.

    Raises HardwareProfile.DoesNotExist, LookupError for a device, ChangedMeanwhile.
    """
    with transaction.atomic():
        row = HardwareProfile.objects.select_for_update().get(pk=pk)
        stored = stored_amounts(row)
        before = stored.of(device)
        if before != was:
            raise AmountsChanged(before)
        message = change_message(dict(named_devices(row.profile()))[device].name, before, to)
        if message is None:
            return None
        after = stored.with_amounts(device, to)
        row.gpus, row.ram_budget, row.ram_reserve = list(after.gpus), after.ram_budget, after.ram_reserve
        row.save(update_fields=["gpus", "ram_budget", "ram_reserve", "updated_at"])
        record([row], user_id, CHANGE, message)
    return message


def measure_again(user_id: int) -> HardwareProfile:
    """Blocks for about a second."""
    row = this_machine(again=True)
    speed = row.ram_bandwidth_bytes_per_second
    bandwidth = "not measurable" if speed is None else f"{format_bytes(speed)}/s"
    record([row], user_id, CHANGE, f"Looked at this machine again: {len(row.gpus)} GPUs, RAM bandwidth {bandwidth}.")
    return row


def add_profile(row: HardwareProfile, user_id: int) -> None:
    """Stores a row that was validated."""
    with transaction.atomic():
        row.save(force_insert=True)
        record([row], user_id, ADDITION, "Added.")


def delete_profile(pk: int, user_id: int) -> str:
    """The name it had. Raises HardwareProfile.DoesNotExist, IsThisMachine."""
    with transaction.atomic():
        row = HardwareProfile.objects.select_for_update().get(pk=pk)
        if row.is_this_machine:
            raise IsThisMachine
        record([row], user_id, DELETION, "")
        row.delete()
    return row.name


def recent_changes() -> list[Change]:
    """Newest first, those made in the admin among them."""
    return recent(HardwareProfile)
