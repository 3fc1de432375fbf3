"""Checks a decoded JSON object against a TypedDict: what comes off a socket or a pipe is anything at all."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

LONGEST_TEXT = 4_096
MOST_ROWS = 128


class BadShape(ValueError):
    """A field is missing or of the wrong type. The message names it."""


@functools.cache
def _fields(schema: type) -> dict[str, Any]:
    return get_type_hints(schema)


def check(message: Mapping[str, Any], schema: type) -> dict[str, Any]:
    """The fields of `schema` out of `message`; others are dropped. Raises BadShape."""
    checked = {}
    for name, expected in _fields(schema).items():
        if name not in message:
            raise BadShape(f'"{name}" is missing')
        checked[name] = _checked(name, message[name], expected)
    return checked


def _checked(name: str, value: Any, expected: Any) -> Any:
    if get_origin(expected) is list and is_typeddict(get_args(expected)[0]):
        (schema,) = get_args(expected)
        rows = value if isinstance(value, list) and len(value) <= MOST_ROWS else None
        if rows is None or not all(isinstance(row, Mapping) for row in rows):
            raise BadShape(f'"{name}" is not a list of at most {MOST_ROWS} objects')
        return [check(row, schema) for row in rows]
    if not _conforms(value, expected):
        raise BadShape(f'"{name}" is not {_words(expected)}')
    return value


def _conforms(value: Any, expected: Any) -> bool:
    origin = get_origin(expected)
    if origin is Literal:
        return isinstance(value, str) and value in get_args(expected)
    if origin in (Union, types.UnionType):
        return any(_conforms(value, each) for each in get_args(expected))
    if expected is types.NoneType:
        return value is None
    if expected is bool:
        return isinstance(value, bool)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if expected is str:
        return isinstance(value, str) and len(value) <= LONGEST_TEXT
    raise TypeError(f"no check for {expected}")


def _words(expected: Any) -> str:
    if get_origin(expected) is Literal:
        return " or ".join(f'"{each}"' for each in get_args(expected))
    if get_origin(expected) in (Union, types.UnionType):
        return " or ".join(_words(each) for each in get_args(expected))
    names = {bool: "true or false", int: "a whole number", float: "a number", str: f"text of at most {LONGEST_TEXT}"}
    return names.get(expected, "null")
