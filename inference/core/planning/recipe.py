"""Tells what a file may be requantized to, and the header that would come of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from types import MappingProxyType
from typing import Any

from models_app.gguf import Header
from models_app.gguf.quantization import (
    QUANTIZATION_TYPES_BY_NAME,
    TENSOR_TYPES,
    QuantizationType,
    TensorType,
    main_tensor_type,
)

TARGETS: Mapping[str, QuantizationType] = MappingProxyType(
    {name: each for name, each in QUANTIZATION_TYPES_BY_NAME.items() if name != "NVFP4"}
)
"""By name. llama.cpp reads NVFP4, and names no tensor type that its quantize would make it of."""

TENSOR_CHOICES = ("q4_0", "q4_K", "q5_0", "q5_K", "q6_K", "q8_0", "bf16", "f16", "f32")
"""What the output and the embedding may be set to on their own: types that any row of 32 elements can have, and K types."""

PLAIN_TYPES = ("f32", "f16", "bf16")
_ALIGNMENT = 32
"""GGUF_DEFAULT_ALIGNMENT: llama.cpp's quantize writes no other."""
_VERY_LOSSY_BITS = 3.0
_WORN_BITS = 6.0


class BadRecipe(ValueError):
    """A choice is unknown or out of range. `name` is the choice, `allowed` what would do: () where there is no such choice."""

    def __init__(self, name: str, value: object, allowed: tuple[object, ...]) -> None:
        expected = f"expected one of {', '.join(map(str, allowed))}" if allowed else "there is no such choice"
        super().__init__(f"{name}={value!r}: {expected}")
        self.name = name
        self.value = value
        self.allowed = allowed


class SourceFault(Enum):
    """What speaks against making a type of a file that is quantized already."""

    NO_GAIN = "no_gain"
    """The type is larger, and what was lost does not come back."""
    QUANTIZED_TWICE = "quantized_twice"
    """More is lost than by quantizing the original once."""


@dataclass(frozen=True, slots=True)
class SourceCaution:
    fault: SourceFault
    source: str
    """The file's own quantization."""
    target: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a file is requantized, in llama.cpp's terms."""

    type: str
    """A key of TARGETS."""
    output_type: str | None = None
    """Of `output.weight`, or of the embedding that serves as one. None: by the type."""
    embedding_type: str | None = None
    pure: bool = False
    """Every tensor in the type's main tensor type, no mixture."""
    keep_split: bool = False
    """As many files as the source has; else one."""

    def __post_init__(self) -> None:
        if self.type not in TARGETS:
            raise BadRecipe("type", self.type, tuple(TARGETS))
        for name in ("output_type", "embedding_type"):
            if getattr(self, name) not in (None, *TENSOR_CHOICES):
                raise BadRecipe(name, getattr(self, name), TENSOR_CHOICES)
        for name in ("pure", "keep_split"):
            if not isinstance(getattr(self, name), bool):
                raise BadRecipe(name, getattr(self, name), (True, False))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Recipe:
        """Raises BadRecipe, also for a choice that there is not."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown or "type" not in values:
            raise BadRecipe(unknown[0], values[unknown[0]], ()) if unknown else BadRecipe("type", None, tuple(TARGETS))
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def quantization(self) -> QuantizationType:
        return TARGETS[self.type]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What llama.cpp's own dry run tells of a recipe for one file."""

    type: str
    tensor_types: Mapping[str, int]
    """Of the result, ggml's numbers by tensor name."""
    needs_imatrix: bool
    n_fallbacks: int
    """Tensors whose rows the type cannot store, and which get a larger one."""


def requantized(header: Header, outcome: Outcome) -> Header:
    """The header of the file that would be made, as far as planning reads it; its size is exact but for some metadata."""
    tensors = []
    offset = 0
    for tensor in header.tensors:
        number = outcome.tensor_types.get(tensor.name)
        kind = tensor.type if number is None else TENSOR_TYPES[number]
        n_bytes = tensor.n_elements // kind.block_elements * kind.block_bytes
        tensors.append(replace(tensor, type=kind, n_bytes=n_bytes, offset=header.data_offset + offset, shard=0))
        offset += -(-n_bytes // _ALIGNMENT) * _ALIGNMENT
    return replace(
        header,
        size_bytes=header.data_offset + offset,
        metadata={**header.metadata, "general.file_type": TARGETS[outcome.type].number},
        tensors=tuple(tensors),
    )


def is_very_lossy(quantization: QuantizationType) -> bool:
    """Whether answers become noticeably worse, whatever the source."""
    return quantization.tensor_type.bits_per_weight < _VERY_LOSSY_BITS


def source_caution(header: Header, target: QuantizationType) -> SourceCaution | None:
    """What speaks against making `target` of this file; None for a source that is as good as any."""
    source = main_type(header)
    if source is None or source.name in PLAIN_TYPES:
        return None
    named = header.quantization or source.name.upper()
    if target.tensor_type.bits_per_weight > source.bits_per_weight:
        return SourceCaution(SourceFault.NO_GAIN, named, target.name)
    return (
        SourceCaution(SourceFault.QUANTIZED_TWICE, named, target.name) if source.bits_per_weight < _WORN_BITS else None
    )


def main_type(header: Header) -> TensorType | None:
    """What most of the weights are in; None for a file without tensors."""
    bytes_by_type: Counter[int] = Counter()
    for tensor in header.tensors:
        bytes_by_type[tensor.type.number] += tensor.n_bytes
    return main_tensor_type(bytes_by_type)
