"""Which quantization of the same model would fit, and what it costs in quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from models_app.gguf import Header
from models_app.gguf.quantization import QUANTIZATION_TYPES_BY_NAME


@dataclass(frozen=True, slots=True)
class _Measured:
    gib: float
    perplexity_added: float


_LLAMA_3_8B: Mapping[str, _Measured] = MappingProxyType(
    {
        "Q8_0": _Measured(7.96, 0.0026),
        "Q6_K": _Measured(6.14, 0.0217),
        "Q5_K_M": _Measured(5.33, 0.0569),
        "Q5_K_S": _Measured(5.21, 0.1049),
        "Q4_K_M": _Measured(4.58, 0.1754),
        "Q4_K_S": _Measured(4.37, 0.2689),
        "Q3_K_L": _Measured(4.03, 0.5562),
        "Q3_K_M": _Measured(3.74, 0.6569),
        "Q3_K_S": _Measured(3.41, 1.6321),
        "Q2_K": _Measured(2.96, 3.5199),
    }
)
"""llama.cpp's own table (tools/quantize): size, and perplexity added to the 16-bit model's."""
_LLAMA_3_8B_PARAMS = 8_030_261_248


@dataclass(frozen=True, slots=True)
class SmallerQuantization:
    name: str
    weights_bytes: int
    """About."""
    perplexity_added: float
    """On Llama 3 8B."""
    description: str


def smaller_quantization(header: Header, fits: Callable[[int], bool]) -> SmallerQuantization | None:
    """The best quantization, smaller than the file's, with which `fits(weights_bytes)`. None if there is none."""
    n_params = header.n_params
    if not n_params:
        return None
    for name, measured in _LLAMA_3_8B.items():
        weights_bytes = round(measured.gib * (1 << 30) * n_params / _LLAMA_3_8B_PARAMS)
        if weights_bytes < 0.97 * header.tensor_bytes and fits(weights_bytes):
            description = QUANTIZATION_TYPES_BY_NAME[name].description
            return SmallerQuantization(name, weights_bytes, measured.perplexity_added, description)
    return None
