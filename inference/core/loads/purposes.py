"""What a worker is for."""

from __future__ import annotations

from typing import Literal

Purpose = Literal["chat", "imatrix"]
"""`chat`: it answers. `imatrix`: it reads a text for what goes into each weight, and generates nothing."""
PURPOSES: tuple[Purpose, ...] = ("chat", "imatrix")
