"""Facts on the wire: messages hold frozen dataclasses, which are JSON objects with their `kind` on the way.

`encode` writes any message; `read_as` gives the facts in a message their types again. Both follow the types that
host.api.messages and host.api.telemetry declare, so a new fact needs nothing here.
"""

from __future__ import annotations

import functools
import json
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

from inference.core.loads.options import LoadOptions
from inference.engine.protocol import BadMessage

_Message = TypeVar("_Message")
_Read = Callable[[Any], Any]


def encode(message: Any) -> bytes:
    """One message as one line, UTF-8, ending in a newline. `message` contains no cycle."""
    return _TO_JSON(message).encode("utf-8", "surrogatepass") + b"\n"


def to_json(fact: Any) -> dict[str, Any]:
    """A fact as it travels, with no dataclass left in it."""
    return cast("dict[str, Any]", json.loads(_TO_JSON(fact)))


def read_as(schema: type[_Message], message: Mapping[str, Any]) -> _Message:
    """`message` with its facts as dataclasses. `schema` is a TypedDict, a dataclass or a union of them. Raises BadMessage."""
    reader = _reader(cast(Any, schema))
    try:
        return cast(_Message, message if reader is None else reader(message))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadMessage(f"a fact in {message.get('type', 'a message')!r} makes no sense: {error!r}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, LoadOptions):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {name: getattr(value, name) for name in _names(type(value))}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} does not travel")


_TO_JSON = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"), default=_plain).encode


@functools.cache
def _names(fact: type[Any]) -> tuple[str, ...]:
    names = tuple(each.name for each in fields(fact))
    return names if "kind" in names or not hasattr(fact, "kind") else ("kind", *names)


# reading ----------------------------------------------------------------------------------------------------------


@functools.cache
def _reader(schema: Any) -> _Read | None:
    """None: what JSON gives is what the type says."""
    origin = get_origin(schema)
    if schema is LoadOptions:
        return LoadOptions.from_json
    if is_dataclass(schema):
        return _fact_reader(cast("type[Any]", schema))
    if is_typeddict(schema):
        return _message_reader(schema)
    if origin in (Union, types.UnionType):
        return _union_reader(get_args(schema))
    if origin in (tuple, list):
        return _row_reader(cast("type[Any]", origin), get_args(schema)[0])
    return None


def _fact_reader(fact: type[Any]) -> _Read:
    hints = get_type_hints(fact)
    readers = tuple((each.name, _reader(hints[each.name])) for each in fields(fact))

    def read(raw: Any) -> Any:
        return fact(**{name: raw[name] if each is None else each(raw[name]) for name, each in readers})

    return read


def _message_reader(message: Any) -> _Read | None:
    readers = {name: each for name, hint in get_type_hints(message).items() if (each := _reader(hint)) is not None}
    if not readers:
        return None

    def read(raw: Any) -> Any:
        return {**raw, **{name: each(raw[name]) for name, each in readers.items() if name in raw}}

    return read


def _row_reader(row: type[Any], item: Any) -> _Read | None:
    each = _reader(item)
    if each is None:
        return None if row is list else row
    return lambda raw: row(map(each, raw))


def _union_reader(members: tuple[Any, ...]) -> _Read | None:
    """By `kind` of facts, or `type` of messages, where there are several."""
    named = [each for each in members if each is not types.NoneType]
    if len(named) == 1:
        only = _reader(named[0])
        return None if only is None else lambda raw: None if raw is None else only(raw)
    if not all(is_dataclass(each) or is_typeddict(each) for each in named):
        return None
    tag = "kind" if is_dataclass(named[0]) else "type"
    readers = {name: _reader(each) for each in named for name in _tags(each, tag)}

    def read(raw: Any) -> Any:
        if raw is None and types.NoneType in members:
            return None
        each = readers[raw[tag]]
        return raw if each is None else each(raw)

    return read


def _tags(member: Any, tag: str) -> tuple[str, ...]:
    value = getattr(member, tag, None)
    if isinstance(value, str):
        return (value,)
    hint = get_type_hints(member)[tag]
    assert get_origin(hint) is Literal
    return get_args(hint)
