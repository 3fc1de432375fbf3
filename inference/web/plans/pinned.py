"""What pinned variants hold, which no plan may count on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from models_app.hardware.pools import RAM

_PARTS = ("weights_bytes", "kv_bytes", "compute_bytes", "overhead_bytes")


def pinned_bytes_by_device(residents: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """What pinned variants hold, of the host's status. One that does not tell its devices is counted in RAM."""
    pinned: dict[str, int] = {}
    for resident in residents:
        if not resident["pinned"]:
            continue
        for each in resident.get("devices") or [{"device": RAM, "weights_bytes": resident["reserved_bytes"]}]:
            n_bytes = sum(each.get(part, 0) for part in _PARTS)
            pinned[each["device"]] = pinned.get(each["device"], 0) + n_bytes
    return pinned
