"""Text that others wrote, as every database takes it. Pure."""

from __future__ import annotations

from collections.abc import Mapping


def storable(text: str) -> str:
    """`text` without NUL, which PostgreSQL refuses, and with a question mark for each half of a surrogate pair, which is not UTF-8."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\0", "") if "\0" in text else text


def unstorable(value: object) -> str | None:
    """What makes a text in `value`, however deep, impossible to store; None where nothing does.

    A NUL ends strings in C and is refused by PostgreSQL; half of a surrogate pair is not UTF-8.
    """
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            if "\0" in each:
                return "a null character"
            if not each.isascii() and any("\ud800" <= character <= "\udfff" for character in each):
                return "half of a surrogate pair"
        elif isinstance(each, Mapping):
            pending.extend(each.keys())
            pending.extend(each.values())
        elif isinstance(each, list):
            pending.extend(each)
    return None
