"""The GPUs that the inference engine can use, matched with the profile of this machine.

The driver's library tells of NVIDIA cards only. The engine knows others too: cards of other makers and, over the network,
devices of other machines. These join the profile, marked with the engine's name for them, so that a budget can be set.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from models_app.machines.this_machine_row import this_machine_now
from models_app.models import HardwareProfile

KEY = "engine_key"


@dataclass(frozen=True, slots=True)
class EngineGpu:
    key: str
    """The engine's name: stays the same as long as the device does."""
    name: str
    """The driver's."""
    memory_bytes: int
    is_remote: bool = False


def join(rows: Sequence[dict[str, Any]], found: Sequence[EngineGpu]) -> tuple[list[dict[str, Any]], tuple[int, ...]]:
    """The profile's GPUs with those that it lacked, and for each of `found` the number of its row.

    A row that only the engine knew goes when the engine no longer has it. Cards of one name are matched in order.
    """
    keys = {gpu.key for gpu in found}
    joined = [deepcopy(row) for row in rows if row.get(KEY) in (None, *keys)]
    taken: list[int] = []
    for gpu in found:
        free = [number for number in range(len(joined)) if number not in taken]
        number = next((each for each in free if joined[each].get(KEY) == gpu.key), None)
        if number is None:
            number = next(
                (each for each in free if KEY not in joined[each] and joined[each].get("name") == gpu.name), None
            )
        if number is None:
            number = len(joined)
            joined.append({"name": gpu.name, KEY: gpu.key})
        if KEY in joined[number]:
            joined[number] |= {"name": gpu.name, "memory_bytes": gpu.memory_bytes, "is_remote": gpu.is_remote}
        taken.append(number)
    return joined, tuple(taken)


def this_machine_with(found: Sequence[EngineGpu]) -> tuple[HardwareProfile, tuple[int, ...]]:
    """This machine's row with the engine's GPUs, and for each of `found` its number there. May block for a second."""
    this_machine_now()
    with transaction.atomic():
        row = HardwareProfile.objects.select_for_update().get(is_this_machine=True)
        gpus, numbers = join(row.gpus, found)
        if gpus != row.gpus:
            row.gpus = gpus
            row.save(update_fields=["gpus", "updated_at"])
    return row, numbers
