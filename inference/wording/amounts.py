"""Bytes, seconds and places as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from inference.core.loads.devices import RAM, BytesOn
from inference.wording.names import listed
from inference.wording.translation import gettext as _


def size(count: int) -> str:
    """Bytes in binary units: 930 MiB, 11.5 GiB."""
    if count >= 1024**3:
        return f"{count / 1024**3:.1f} GiB"
    return f"{count / 1024**2:.0f} MiB"


def duration(seconds: float) -> str:
    """About: 0.4 s, 12 s, 3 min, 2 h."""
    if seconds < 9.5:
        return f"{seconds:.1f} s" if seconds < 0.95 else f"{seconds:.0f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"


def on(device: str, device_name: str) -> str:
    """in RAM, on GeForce"""
    return _("in RAM") if device == RAM else _("on {device}").format(device=device_name)


def places(holds: Sequence[BytesOn]) -> str:
    """2.1 GiB on GeForce and 300 MiB in RAM"""
    return listed([f"{size(each.n_bytes)} {on(each.device, each.device_name)}" for each in holds]) or _("no memory")
