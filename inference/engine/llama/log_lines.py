"""What the lines of llama.cpp's log mean. Pure.

llama.cpp gives some facts out in its log and nowhere else: how large its buffers are, which device has which layer, why it
made no model, what a quantization would do. Whatever matches its words stands here, so that one module changes with them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Literal

_MIB = 1 << 20

# loading ------------------------------------------------------------------------------------------------------

_BUFFER_LINE = re.compile(r": +(\S+) .*?(model|KV|RS|state|compute|output) buffer size = +([0-9.]+) MiB")
# "offloaded 31/31 layers to GPU" is printed on machines without any: only the assignments say where a layer went.
_LAYER_LINE = re.compile(r"layer +(\d+) assigned to device (\S+?),")
_LAYER_MARK = b" assigned to device "

BufferUse = Literal["weights", "cache", "compute", "output"]
_USES: dict[str, BufferUse] = {
    "model": "weights",
    "KV": "cache",
    "RS": "cache",
    "state": "cache",
    "compute": "compute",
    "output": "output",
}


@dataclass(frozen=True, slots=True)
class BufferSize:
    """A buffer was made, or made anew."""

    buffer: str
    """llama.cpp's name: `CPU`, `CUDA0`."""
    use: BufferUse
    n_bytes: float
    """llama.cpp prints hundredths of a MiB."""


@dataclass(frozen=True, slots=True)
class LayerPlace:
    """A layer, or the output as one more, goes to a device."""

    layer: int
    device: str


def places_layer(text: bytes) -> bool:
    """Whether a piece of the log may be a LayerPlace: of the two thousand debug lines of a load those alone are read."""
    return _LAYER_MARK in text


def read_load_line(line: str) -> BufferSize | LayerPlace | None:
    """What a line of a load says, if it is one of these."""
    found = _BUFFER_LINE.search(line)
    if found is not None:
        return BufferSize(found[1], _USES[found[2]], float(found[3]) * _MIB)
    found = _LAYER_LINE.search(line)
    return None if found is None else LayerPlace(int(found[1]), found[2])


# failing ------------------------------------------------------------------------------------------------------

_OUT_OF_MEMORY = re.compile(
    r"failed to allocate|unable to allocate|out of memory|cudaMalloc failed|alloc.* failed", re.I
)
_UNSUPPORTED = re.compile(
    r"unknown model architecture|unknown pre-tokenizer|unsupported|not supported|unknown type", re.I
)
_REFUSED_BUFFER = re.compile(r"failed to allocate (\S+) buffer of size (\d+)")


class LoadFault(Enum):
    """Why a load failed, as far as its error lines say."""

    OUT_OF_MEMORY = "out_of_memory"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class RefusedBuffer:
    """A device had no room for a buffer."""

    buffer: str
    """llama.cpp's name, with a suffix on some devices."""
    n_bytes: int


def load_faults(line: str) -> frozenset[LoadFault]:
    """What an error line of a load speaks of; empty where it says neither."""
    patterns = {LoadFault.OUT_OF_MEMORY: _OUT_OF_MEMORY, LoadFault.UNSUPPORTED: _UNSUPPORTED}
    return frozenset(fault for fault, pattern in patterns.items() if pattern.search(line))


def refused_buffer(line: str) -> RefusedBuffer | None:
    """The buffer that an error line says there was no room for."""
    found = _REFUSED_BUFFER.search(line)
    return None if found is None else RefusedBuffer(found[1], int(found[2]))


# quantizing ---------------------------------------------------------------------------------------------------

_TENSOR = re.compile(r"\s*\[\s*(\d+)/\s*\d+\] (.+?)\s+- \[[^\]]*\], type = ", re.DOTALL)
_BECOMES = re.compile(r"size = +[\d.]+ MiB -> +[\d.]+ MiB \((\w+)\)\s*$")
_FALLBACKS = re.compile(r"WARNING: (\d+) of \d+ tensor\(s\) required fallback")
_NEEDS_IMATRIX = ("will require an imatrix", "actually completing this quantization will require")
_REASON = "failed to quantize: "


@dataclass(frozen=True, slots=True)
class TensorReached:
    """llama.cpp begins with a tensor."""

    number: int
    """From 1."""
    name: str


@dataclass(frozen=True, slots=True)
class TensorBecomes:
    """What the tensor that was reached last becomes in a dry run."""

    type_name: str
    """ggml's: `q4_K`."""


@dataclass(frozen=True, slots=True)
class NeedsImatrix:
    """The quantization cannot be completed without an importance matrix."""


@dataclass(frozen=True, slots=True)
class Fallbacks:
    """So many tensors did not fit the wanted type and take another one."""

    count: int


def read_quantize_text(text: str) -> TensorReached | TensorBecomes | NeedsImatrix | Fallbacks | None:
    """What a piece of the log of a quantization says, which may be less than a line."""
    if (found := _TENSOR.match(text)) is not None:
        return TensorReached(int(found[1]), found[2])
    if (found := _BECOMES.match(text)) is not None:
        return TensorBecomes(found[1])
    if any(words in text for words in _NEEDS_IMATRIX):
        return NeedsImatrix()
    if (found := _FALLBACKS.search(text)) is not None:
        return Fallbacks(int(found[1]))
    return None


def quantize_reason(line: str) -> str:
    """Why a quantization failed, of the error line that ends it."""
    return line.rpartition(_REASON)[2]
