"""The parser, without I/O: it says which bytes it needs and is fed them, whether they come from a disk or a network.

The format is described in ggml's docs/gguf.md and gguf.h; what llama.cpp's gguf.cpp refuses is refused here, and so is
whatever would take unbounded time or memory.
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from models_app.gguf import values
from models_app.gguf.errors import BadGguf
from models_app.gguf.header import Header, Tensor
from models_app.gguf.quantization import TENSOR_TYPES
from models_app.gguf.values import LongArray, Value

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Need:
    """A request for at least `n_bytes` bytes of the file from `offset`. More is welcome, up to the whole file."""

    offset: int
    n_bytes: int


Steps = Generator[Need, bytes, _T]

_MAGIC = b"GGUF"
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_LONGEST = 1 << 63
_ITEM_BYTES = 64
"""What Python spends on a small object, roughly; it counts against the bound on what a header may make us keep."""


def parse(size_bytes: int) -> Steps[Header]:
    """A generator that yields `Need`s, is sent bytes, and returns the Header of a file of `size_bytes`.

    It never asks for bytes outside the file. Raises BadGguf.
    """
    window = _Window(size_bytes)
    version = yield from _preamble(window)
    n_tensors = yield from window.number(_U64)
    n_keys = yield from window.number(_U64)
    if n_tensors > values.MOST_TENSORS:
        raise BadGguf(f"it claims {n_tensors} tensors; more than {values.MOST_TENSORS} is not credible", 8)
    if n_keys > values.MOST_KEYS:
        raise BadGguf(f"it claims {n_keys} metadata keys; more than {values.MOST_KEYS} is not credible", 16)

    metadata: dict[str, Value] = {}
    alignment = 32
    for _ in range(n_keys):
        key_offset = window.tell
        key = yield from window.text("a metadata key", values.LONGEST_KEY_BYTES)
        if not key or key in metadata:
            raise BadGguf(f"the metadata key {key[:80]!r} appears twice" if key else "a key is empty", key_offset)
        value_type = yield from window.number(_U32)
        window.inside = f"the value of {key[:80]}"
        metadata[key] = yield from _value(window, value_type)
        if key == "general.alignment":
            alignment = _alignment(metadata[key], value_type, key_offset)
    tensors = yield from _tensors(window, n_tensors, alignment)
    data_offset = -(-window.tell // alignment) * alignment if n_tensors else window.tell
    return Header(
        version=version,
        size_bytes=size_bytes,
        metadata=metadata,
        tensors=tuple(_placed(tensors, data_offset, size_bytes)),
        alignment=alignment,
        data_offset=data_offset,
    )


class _Window:
    """The bytes at hand and where we stand in them. `position` may lie past the end after a skip."""

    __slots__ = ("buffer", "built_bytes_left", "inside", "offset", "position", "size_bytes", "strings_left")

    def __init__(self, size_bytes: int) -> None:
        self.buffer = b""
        self.offset = 0
        self.position = 0
        self.size_bytes = size_bytes
        self.inside = "the first bytes"
        self.strings_left = values.MOST_STRINGS
        self.built_bytes_left = values.MOST_BUILT_BYTES

    @property
    def tell(self) -> int:
        return self.offset + self.position

    def require(self, n_bytes: int) -> None:
        """Raises BadGguf unless the file holds `n_bytes` more."""
        if n_bytes > self.size_bytes - self.tell:
            raise BadGguf(
                f"the file ends inside {self.inside}: {n_bytes} bytes are needed and "
                f"{max(0, self.size_bytes - self.tell)} are left",
                min(self.tell, self.size_bytes),
            )

    def keep(self, n_bytes: int) -> None:
        """Counts `n_bytes` that will stay in memory. Raises BadGguf when the header wants too many."""
        self.built_bytes_left -= n_bytes
        if self.built_bytes_left < 0:
            raise BadGguf(f"the header holds more than {values.MOST_BUILT_BYTES} bytes of text and numbers", self.tell)

    def fill(self, n_bytes: int) -> Steps[None]:
        """Makes the next `n_bytes` available in `buffer` at `position`."""
        if len(self.buffer) - self.position >= n_bytes:
            return
        self.require(n_bytes)
        offset = self.tell
        self.buffer = yield Need(offset, n_bytes)
        self.offset, self.position = offset, 0
        if len(self.buffer) < n_bytes:
            raise BadGguf(f"the file ends inside {self.inside}", offset + len(self.buffer))

    def number(self, form: struct.Struct) -> Steps[Any]:
        if len(self.buffer) - self.position < form.size:
            yield from self.fill(form.size)
        number = form.unpack_from(self.buffer, self.position)[0]
        self.position += form.size
        return number

    def string(self, most_bytes: int) -> Steps[bytes]:
        length = yield from self.number(_U64)
        self.require(length)
        if length > most_bytes:
            raise BadGguf(f"{self.inside} is {length} bytes long; at most {most_bytes} are allowed", self.tell)
        self.keep(length + _ITEM_BYTES)
        if len(self.buffer) - self.position < length:
            yield from self.fill(length)
        start = self.position
        self.position += length
        return bytes(self.buffer[start : self.position])

    def text(self, what: str, most_bytes: int) -> Steps[str]:
        """A key or a name: these must be valid UTF-8, people and llama.cpp find things by them."""
        self.inside = what
        offset = self.tell
        raw = yield from self.string(most_bytes)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise BadGguf(f"{what} is not valid UTF-8", offset) from None


def _preamble(window: _Window) -> Steps[int]:
    if window.size_bytes < 24:
        raise BadGguf(f"the file is only {window.size_bytes} bytes long, too short for a GGUF", 0)
    yield from window.fill(24)
    if window.buffer[:4] != _MAGIC:
        raise BadGguf("this is not a GGUF file", 0)
    window.position = 4
    version: int = yield from window.number(_U32)
    if version & 0xFFFF == 0 and version:
        raise BadGguf("it is a big-endian GGUF, written for another kind of processor", 4)
    if version == 1:
        raise BadGguf("it is GGUF version 1, which llama.cpp stopped reading in 2023: download a newer file", 4)
    if version not in (2, 3):
        raise BadGguf(f"it claims GGUF version {version}; versions 2 and 3 can be read", 4)
    return version


def _alignment(value: Value, value_type: int, offset: int) -> int:
    if value_type != 4 or not isinstance(value, int):
        raise BadGguf("general.alignment is not a 32-bit unsigned number", offset)
    if not 1 <= value <= values.LARGEST_ALIGNMENT or value & (value - 1):
        raise BadGguf(f"general.alignment is {value}, not a power of two up to {values.LARGEST_ALIGNMENT}", offset)
    return value


def _value(window: _Window, value_type: int) -> Steps[Value]:
    scalar = values.SCALARS.get(value_type)
    if scalar is not None:
        window.keep(_ITEM_BYTES)
        number: int | float | bool = yield from window.number(scalar)
        return number
    if value_type == values.STRING:
        raw = yield from window.string(values.MOST_BUILT_BYTES)
        return raw.decode(errors="replace")
    if value_type == values.ARRAY:
        return (yield from _array(window))
    raise BadGguf(f"{window.inside} has the unknown type {value_type}", window.tell)


def _array(window: _Window) -> Steps[Value]:
    element_type = yield from window.number(_U32)
    n_elements = yield from window.number(_U64)
    scalar = values.SCALARS.get(element_type)
    if element_type == values.ARRAY:
        raise BadGguf(f"{window.inside} is an array of arrays, which llama.cpp does not read", window.tell)
    if scalar is None and element_type != values.STRING:
        raise BadGguf(f"{window.inside} is an array of the unknown type {element_type}", window.tell)
    if n_elements > values.MOST_ARRAY_ELEMENTS:
        raise BadGguf(f"{window.inside} claims {n_elements} elements", window.tell)
    window.require(n_elements * (scalar.size if scalar else _U64.size))
    if n_elements <= values.LONGEST_BUILT_ARRAY:
        window.keep((n_elements + 1) * _ITEM_BYTES)
        if scalar:
            yield from window.fill(n_elements * scalar.size)
            form = struct.Struct(f"<{n_elements}{scalar.format[-1]}")
            start = window.position
            window.position += form.size
            built: tuple[int, ...] = form.unpack_from(window.buffer, start)
            return built
        strings = []
        for _ in range(n_elements):
            raw = yield from window.string(values.MOST_BUILT_BYTES)
            strings.append(raw.decode(errors="replace"))
        return tuple(strings)

    window.keep(_ITEM_BYTES)
    offset = window.tell
    if scalar:
        window.position += n_elements * scalar.size
    else:
        yield from _skip_strings(window, n_elements)
    return LongArray(element_type, n_elements, offset, window.tell - offset)


def _skip_strings(window: _Window, n_strings: int) -> Steps[None]:
    """Steps over a vocabulary without reading it.

    This loop is nearly all the time that a header takes, so it checks nothing per string:
    a length that leads out of the buffer ends it, and is judged then.
    """
    window.strings_left -= n_strings
    if window.strings_left < 0:
        raise BadGguf(f"the header holds more than {values.MOST_STRINGS} strings", window.tell)
    unpack = _U64.unpack_from
    done = 0
    while True:
        buffer, position, index = window.buffer, window.position, done
        try:
            for index in range(done, n_strings):  # noqa: B007
                position += unpack(buffer, position)[0] + 8
            done = n_strings
        except (struct.error, OverflowError, IndexError):
            done = index
        window.position = position
        window.require((n_strings - done) * _U64.size)
        if done == n_strings:
            return
        yield from window.fill(_U64.size)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the tensor table; its offset counts from the beginning of the data section."""

    name: str
    shape: tuple[int, ...]
    type_number: int
    n_bytes: int
    offset: int
    at: int


def _tensors(window: _Window, n_tensors: int, alignment: int) -> Steps[list[_Row]]:
    rows: list[_Row] = []
    names: set[str] = set()
    expected = 0
    for _ in range(n_tensors):
        at = window.tell
        name = yield from window.text("a tensor's name", values.LONGEST_NAME_BYTES)
        if name in names:
            raise BadGguf(f"the tensor {name!r} appears twice", at)
        names.add(name)
        window.inside = f"the entry of tensor {name!r}"
        n_dims = yield from window.number(_U32)
        if n_dims > 4:
            raise BadGguf(f"the tensor {name!r} has {n_dims} dimensions; at most 4 are allowed", at)
        yield from window.fill(8 * n_dims + 12)
        *shape, type_number, offset = struct.unpack_from(f"<{n_dims}QIQ", window.buffer, window.position)
        window.position += 8 * n_dims + 12
        window.keep(6 * _ITEM_BYTES)
        row = _Row(name, tuple(shape), type_number, _tensor_bytes(name, shape, type_number, at), offset, at)
        if offset != expected:
            raise BadGguf(_misplaced(row, expected, alignment), at)
        expected += -(-row.n_bytes // alignment) * alignment
        rows.append(row)
    return rows


def _tensor_bytes(name: str, shape: list[int], type_number: int, at: int) -> int:
    tensor_type = TENSOR_TYPES.get(type_number)
    if tensor_type is None:
        raise BadGguf(f"the tensor {name!r} has the unknown type {type_number}", at)
    n_elements = 1
    for length in shape:
        n_elements *= length
        if not 0 < length < _LONGEST or n_elements >= _LONGEST:
            raise BadGguf(f"the tensor {name!r} has the impossible shape {shape}", at)
    if (shape[0] if shape else 1) % tensor_type.block_elements:
        raise BadGguf(
            f"the tensor {name!r} has rows of {shape[0] if shape else 1} elements, "
            f"which {tensor_type.name} cannot store: not a multiple of {tensor_type.block_elements}",
            at,
        )
    return n_elements // tensor_type.block_elements * tensor_type.block_bytes


def _misplaced(row: _Row, expected: int, alignment: int) -> str:
    """Why llama.cpp would refuse the row's offset: it wants tensors one after the other, each aligned."""
    if row.offset % alignment:
        return f"the tensor {row.name!r} begins at {row.offset}, which is not aligned to {alignment}"
    what = "overlaps the one before it" if row.offset < expected else "leaves a gap after the one before it"
    return f"the tensor {row.name!r} {what}: it begins at {row.offset}, expected {expected}"


def _placed(rows: list[_Row], data_offset: int, size_bytes: int) -> list[Tensor]:
    for row in rows:
        if row.n_bytes > size_bytes - data_offset - row.offset:
            raise BadGguf(
                f"the tensor {row.name!r} runs past the end of the file: the file is incomplete, "
                f"{data_offset + row.offset + row.n_bytes} bytes are needed and {size_bytes} are there",
                row.at,
            )
    return [
        Tensor(row.name, row.shape, TENSOR_TYPES[row.type_number], data_offset + row.offset, row.n_bytes)
        for row in rows
    ]
