"""Random tensor contents that decode: any bits may stand in a quantized block, except in its scales."""

from __future__ import annotations

from typing import Any

import numpy as np

from models_app.gguf.quantization import TensorType

_F16_FIELDS: dict[str, tuple[tuple[int, float], ...]] = {
    "q4_0": ((0, 0.2),),
    "q4_1": ((0, 0.2), (2, -1.5)),
    "q5_0": ((0, 0.1),),
    "q5_1": ((0, 0.1), (2, -1.5)),
    "q8_0": ((0, 0.013),),
    "q2_K": ((80, 0.1), (82, 0.15)),
    "q3_K": ((108, 0.02),),
    "q4_K": ((0, 0.007), (2, 0.05)),
    "q5_K": ((0, 0.0035), (2, 0.05)),
    "q6_K": ((208, 0.0007),),
    "iq2_xxs": ((0, 0.01),),
    "iq2_xs": ((0, 0.01),),
    "iq2_s": ((0, 0.01),),
    "iq3_xxs": ((0, 0.01),),
    "iq3_s": ((0, 0.01),),
    "iq1_s": ((0, 0.1),),
    "iq4_nl": ((0, 0.015),),
    "iq4_xs": ((0, 0.0007),),
    "tq1_0": ((52, 1.0),),
    "tq2_0": ((64, 1.0),),
    "q1_0": ((0, 1.0),),
    "q2_0": ((0, 0.7),),
}
"""Where a block keeps half-precision scales (ggml-common.h), and a value that makes weights of about unit variance."""


def _normal(random: np.random.Generator, n_elements: int, deviation: float) -> np.ndarray[Any, Any]:
    return (random.standard_normal(n_elements, dtype=np.float32) * np.float32(deviation)).astype("<f4")


def contents(random: np.random.Generator, tensor_type: TensorType, n_elements: int, deviation: float) -> bytes:
    """Bytes of `n_elements` weights of about that standard deviation. Raises ValueError for a type it cannot make."""
    name = tensor_type.name
    if name == "f32":
        return _normal(random, n_elements, deviation).tobytes()
    if name == "f16":
        return _normal(random, n_elements, deviation).astype("<f2").tobytes()
    if name == "bf16":
        return (_normal(random, n_elements, deviation).view("<u4") >> 16).astype("<u2").tobytes()
    n_blocks = n_elements // tensor_type.block_elements
    blocks = random.integers(0, 256, (n_blocks, tensor_type.block_bytes), dtype=np.uint8)
    if name == "mxfp4":
        blocks[:, 0] = max(1, 127 + round(np.log2(deviation / 2)))
    elif name == "nvfp4":
        blocks[:, :4] = 0x10
    elif name in _F16_FIELDS:
        for offset, scale in _F16_FIELDS[name]:
            half = np.frombuffer(np.array([scale * deviation], dtype="<f2").tobytes(), dtype=np.uint8)
            blocks[:, offset : offset + 2] = half
    else:
        raise ValueError(f"no random contents for {name}")
    return blocks.tobytes()
