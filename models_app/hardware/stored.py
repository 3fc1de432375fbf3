"""Profiles as the database keeps them: GPUs as JSON, checked on the way in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models_app.hardware.profile import BadAmount, Budget, Device

_NEEDED = {"name": str, "memory_bytes": int}
_OPTIONAL = {
    "bandwidth_bytes_per_second": int,
    "pcie_bytes_per_second": int,
    "budget": str,
    "reserve": str,
    "engine_key": str,  # of a device that only the inference engine knows: engine_gpus
    "is_remote": bool,
}
_WORDS = {str: "text", int: "a positive whole number", bool: "true or false"}
MOST_GPUS = 64
_LARGEST = 1 << 50


class BadDevices(ValueError):
    """The message is a phrase for a person."""


def gpus_from_json(rows: Any) -> tuple[Device, ...]:
    """Raises BadDevices."""
    if not isinstance(rows, Sequence) or isinstance(rows, str) or len(rows) > MOST_GPUS:
        raise BadDevices(f"a list of at most {MOST_GPUS} devices")
    return tuple(_gpu(row) for row in rows)


def _gpu(row: Any) -> Device:
    if not isinstance(row, Mapping):
        raise BadDevices("each device is an object")
    for name in row:
        if name not in _NEEDED and name not in _OPTIONAL:
            raise BadDevices(f"{name!r} is not known; known are {', '.join([*_NEEDED, *_OPTIONAL])}")
    for name, kind in {**_NEEDED, **_OPTIONAL}.items():
        value = row.get(name)
        if value is None and name in _OPTIONAL:
            continue
        if type(value) is not kind or (kind is int and isinstance(value, int) and not 0 < value <= _LARGEST):
            raise BadDevices(f"{name} must be {_WORDS[kind]}")
    return Device(
        row["name"],
        "gpu",
        row["memory_bytes"],
        row.get("bandwidth_bytes_per_second"),
        row.get("pcie_bytes_per_second"),
        budget_from(row.get("budget")),
        budget_from(row.get("reserve")),
        bool(row.get("is_remote")),
    )


def budget_from(text: str | None) -> Budget | None:
    """`11.5GiB`, `90%` or nothing. Raises BadDevices."""
    if not text:
        return None
    try:
        return Budget.parse(text)
    except BadAmount as bad:
        raise BadDevices(str(bad)) from None


def gpus_to_json(gpus: Sequence[Device]) -> list[dict[str, Any]]:
    """Rows for the column `gpus`. Without budgets, which only the owner sets."""
    return [
        {
            "name": gpu.name,
            "memory_bytes": gpu.memory_bytes,
            "bandwidth_bytes_per_second": gpu.bandwidth_bytes_per_second,
            "pcie_bytes_per_second": gpu.pcie_bytes_per_second,
        }
        for gpu in gpus
    ]
