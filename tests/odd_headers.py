"""Headers with odd numbers: each numeric key of each shape, in every type and size that a stranger might write."""

from __future__ import annotations

import resource
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models_app.gguf import read_files
from tests.gguf_builder import Raw, build
from tests.gguf_shapes import TINY, Shape
from tests.gguf_shapes_more import MORE

ROOM_BYTES = 1 << 30
"""More than any test of these needs, and less than a loop that counts to 2^31 takes."""


def _array(element_type: int, form: str, *items: Any) -> Raw:
    return Raw(9, struct.pack("<IQ", element_type, len(items)) + struct.pack(f"<{len(items)}{form}", *items))


ODD: Mapping[str, Any] = MappingProxyType(
    {
        "zero": 0,
        "one": 1,
        "three": 3,
        "512": 512,
        "513": 513,
        "65535": 65535,
        "2^31-1": (1 << 31) - 1,
        "2^31": 1 << 31,
        "2^32-1": (1 << 32) - 1,
        "2^63": Raw(10, struct.pack("<Q", 1 << 63)),
        "2^64-1": Raw(10, struct.pack("<Q", (1 << 64) - 1)),
        "minus one": Raw(5, struct.pack("<i", -1)),
        "-2^63": Raw(11, struct.pack("<q", -(1 << 63))),
        "a half": 0.5,
        "four as a float": 4.0,
        "not a number": float("nan"),
        "infinite": float("inf"),
        "1e308": Raw(12, struct.pack("<d", 1e308)),
        "true": True,
        "text": "4",
        "no text": "",
        "an empty array": Raw(9, struct.pack("<IQ", 4, 0)),
        "an array of one": _array(4, "I", 4),
        "an array of zeros": _array(4, "I", *[0] * 4),
        "an array of minus ones": _array(5, "i", *[-1] * 4),
        "an array of halves": _array(6, "f", *[0.5] * 4),
        "an array of flags": _array(7, "?", *[True] * 4),
        "a huge array": _array(4, "I", *[(1 << 32) - 1] * 4),
        "a long array": _array(4, "I", *[2] * 2000),
        "missing": None,
    }
)
"""As `build` takes them, by what they are."""

FURTHER = (
    *("attention.key_length", "attention.value_length", "attention.key_length_swa", "attention.sliding_window"),
    *("attention.sliding_window_pattern", "attention.shared_kv_layers", "nextn_predict_layers", "expert_count"),
    *("expert_used_count", "full_attention_interval", "ssm.group_count", "attention.recurrent_layers"),
    *("shortconv.l_cache", "attention.kv_lora_rank", "attention.key_length_mla", "attention.value_length_mla"),
)
"""What is read of some architectures, and may be written into a file of any."""
SPLIT = ("split.no", "split.count", "split.tensors.count", "general.file_type", "general.quantization_version")


def shapes() -> tuple[Shape, ...]:
    return (*TINY, *MORE)


def odd_values(folder: Path) -> dict[str, Any]:
    """As the parser reads them; `missing` is None."""
    metadata = {f"odd.{name}": value for name, value in ODD.items()}
    found = read_files(build(folder / "odd.gguf", TINY[0], metadata=metadata)).metadata
    return {name: found.get(f"odd.{name}") for name in ODD}


def numeric_keys(shape: Shape) -> list[str]:
    told = [key for key, value in shape.metadata().items() if not isinstance(value, str)]
    return [*dict.fromkeys([*told, *(f"{shape.architecture}.{name}" for name in FURTHER)]), *SPLIT]


@contextmanager
def little_memory() -> Iterator[None]:
    """A MemoryError instead of a machine without memory: this process gets so much more address space, and no more."""
    with open("/proc/self/statm") as file:
        held_bytes = int(file.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held_bytes + ROOM_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
