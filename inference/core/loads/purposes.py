"""What a worker is for, and the number under which the host keeps each of a variant's workers apart."""

from __future__ import annotations

from typing import Literal

Purpose = Literal["chat", "imatrix"]
"""`chat`: it answers. `imatrix`: it reads a text for what goes into each weight, and generates nothing."""
PURPOSES: tuple[Purpose, ...] = ("chat", "imatrix")

_IMATRIX = 1 << 40
"""Beyond every row's id, and within what JSON's readers count exactly. Positive: addresses of pages are made of it."""


def resident_id(variant_id: int, purpose: Purpose) -> int:
    """The number that a variant's worker for `purpose` goes by wherever the host counts bytes: for chats, the row's own."""
    return variant_id + _IMATRIX if purpose == "imatrix" else variant_id


def variant_of(resident_id: int) -> tuple[int, Purpose]:
    """The row's id, and what the worker is for."""
    return (resident_id - _IMATRIX, "imatrix") if resident_id > _IMATRIX else (resident_id, "chat")


def is_variant(number: int) -> bool:
    """Whether a caller may name a variant so: the other numbers are the host's own."""
    return 0 < number <= _IMATRIX
