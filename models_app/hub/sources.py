"""Which variants of a repository are better to requantize from than one that was quantized already. Pure."""

from __future__ import annotations

from models_app.gguf.quantization import QUANTIZATION_TYPES_BY_NAME
from models_app.hub.names import Contents, RemoteVariant

NEARLY_LOSSLESS = "Q8_0"


def better_sources(parts: Contents, than: str) -> tuple[RemoteVariant, ...]:
    """Variants to requantize from instead of `than`: unquantized ones, then Q8_0, the smallest first.

    All have more bits than `than`.

    None where `than` is unquantized itself, or no type that is known.
    """
    own = QUANTIZATION_TYPES_BY_NAME.get(than)
    if own is None or own.is_lossless:
        return ()
    found = []
    for variant in parts.variants:
        kind = QUANTIZATION_TYPES_BY_NAME.get(variant.quantization or "")
        if kind is None or kind.tensor_type.bits_per_weight <= own.tensor_type.bits_per_weight:
            continue
        if kind.is_lossless or kind.name == NEARLY_LOSSLESS:
            found.append((not kind.is_lossless, variant.size_bytes, variant.key, variant))
    return tuple(variant for *_, variant in sorted(found, key=lambda each: each[:3]))
