"""Text that others wrote, as every database takes it. Pure."""

from __future__ import annotations


def storable(text: str) -> str:
    """`text` without NUL, which PostgreSQL refuses, and with a question mark for each half of a surrogate pair, which is not UTF-8."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\0", "") if "\0" in text else text
