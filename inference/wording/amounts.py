"""Places that hold bytes, as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from inference.core.loads.devices import RAM, BytesOn
from inference.wording.names import listed
from inference.wording.translation import gettext as _
from models_app.units import format_bytes


def on(device: str, device_name: str) -> str:
    """in RAM, on GeForce"""
    return _("in RAM") if device == RAM else _("on {device}").format(device=device_name)


def places(holds: Sequence[BytesOn]) -> str:
    """2.1 GiB on GeForce and 300 MiB in RAM"""
    return listed([f"{format_bytes(each.n_bytes)} {on(each.device, each.device_name)}" for each in holds]) or _(
        "no memory"
    )
