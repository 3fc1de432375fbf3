"""Common cards, so that a variant can be planned for one that nobody here owns. Figures are the vendors'."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from models_app.hardware.profile import Device, parse_bytes


@cache
def cards() -> tuple[Device, ...]:
    rows = json.loads((Path(__file__).parent / "cards.json").read_text(encoding="utf-8"))
    return tuple(Device(row["name"], "gpu", parse_bytes(row["memory"]), parse_bytes(row["bandwidth"])) for row in rows)


def card(name: str) -> Device | None:
    """The card so named, with or without its maker: `rtx 3060`."""
    wanted = _spelled(name)
    return next((each for each in cards() if _spelled(each.name) == wanted), None)


def _spelled(name: str) -> str:
    lowered = name.lower()
    for word in ("nvidia", "geforce", "tesla"):
        lowered = lowered.replace(word, "")
    return " ".join(lowered.split())
