"""Fields of a request that both kinds of worker read, and how they refuse one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from inference.engine.protocol import RefusalCode, RefusalFacts

if TYPE_CHECKING:
    from typing_extensions import Unpack

_LONGEST_NAME = 256


class RequestRefused(Exception):
    """A request cannot be answered; the worker goes on. `detail` is a sentence for a person."""

    def __init__(self, code: RefusalCode, detail: str, **facts: Unpack[RefusalFacts]) -> None:
        super().__init__(detail)
        self.code: RefusalCode = code
        self.detail = detail
        self.facts = facts


@contextmanager
def appended(path: object) -> Iterator[int]:
    """Opens the file that a caller has made for what it asks, to append to. Raises RequestRefused."""
    if not isinstance(path, str):
        raise RequestRefused("bad_request", "path: expected a text")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise RequestRefused("bad_request", f"path: the file cannot be opened: {error}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def name_of(message: Mapping[str, Any], field: str) -> str:
    """A field that holds a short text. Raises RequestRefused."""
    value = message.get(field)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME:
        raise RequestRefused("bad_request", f"{field}: expected a text of 1 to {_LONGEST_NAME} characters")
    return value
