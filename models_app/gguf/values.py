"""Metadata values: GGUF's types, what becomes of each in Python, and how many of them a header may hold."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

STRING = 8
ARRAY = 9
BOOL = 7

SCALARS: Mapping[int, struct.Struct] = MappingProxyType(
    {
        0: struct.Struct("<B"),
        1: struct.Struct("<b"),
        2: struct.Struct("<H"),
        3: struct.Struct("<h"),
        4: struct.Struct("<I"),
        5: struct.Struct("<i"),
        6: struct.Struct("<f"),
        BOOL: struct.Struct("<?"),
        10: struct.Struct("<Q"),
        11: struct.Struct("<q"),
        12: struct.Struct("<d"),
    }
)
"""By gguf.h's `enum gguf_type`; strings and arrays apart."""


@dataclass(frozen=True, slots=True)
class LongArray:
    """An array that was walked but not built: where it lies, for whoever wants to read it."""

    element_type: int
    """gguf.h's `enum gguf_type`."""
    n_elements: int
    offset: int
    """Of the first element, from the beginning of the file."""
    n_bytes: int


Value = int | float | bool | str | tuple[int, ...] | tuple[float, ...] | tuple[bool, ...] | tuple[str, ...] | LongArray

# Bounds on a header. Real ones stay far below: the largest vocabularies hold about 600,000 strings, the largest models
# a few thousand tensors, and chat templates some 100 kB. A hostile header stops here in bounded time and memory.
MOST_KEYS = 16_384
MOST_TENSORS = 65_536
MOST_STRINGS = 8_000_000
"""Strings walked in all arrays of one header together."""
MOST_BUILT_BYTES = 32 * 1024 * 1024
"""Keys, names and values that one header may make us keep."""
MOST_ARRAY_ELEMENTS = 1 << 30
"""As llama.cpp."""
LONGEST_KEY_BYTES = 65_535
LONGEST_NAME_BYTES = 63
"""ggml keeps 64 bytes for a tensor's name, the last of them zero."""
LONGEST_BUILT_ARRAY = 1_024
"""Longer arrays become a LongArray. Per-layer values (at most 512 layers in llama.cpp) stay below."""
LARGEST_ALIGNMENT = 1 << 20
