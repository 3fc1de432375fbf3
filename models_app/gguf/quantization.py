"""Quantization types: what the numbers in a GGUF mean, in bytes and in words.

Two enumerations are involved. A *tensor type* says how one tensor is stored (ggml.h, `enum ggml_type`; block sizes from
ggml.c's `type_traits`). A *file type* names the mixture that a whole file was quantized to (llama.h, `enum llama_ftype`);
Q4_K_M, for example, stores most tensors as q4_K and some as q6_K.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class TensorType:
    """How ggml stores a row: `block_elements` numbers at a time, in `block_bytes`."""

    number: int
    name: str
    block_elements: int
    block_bytes: int

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.block_bytes / self.block_elements


def _tensor_types(*rows: tuple[int, str, int, int]) -> Mapping[int, TensorType]:
    return MappingProxyType({row[0]: TensorType(*row) for row in rows})


TENSOR_TYPES: Mapping[int, TensorType] = _tensor_types(
    (0, "f32", 1, 4),
    (1, "f16", 1, 2),
    (2, "q4_0", 32, 18),
    (3, "q4_1", 32, 20),
    (6, "q5_0", 32, 22),
    (7, "q5_1", 32, 24),
    (8, "q8_0", 32, 34),
    (9, "q8_1", 32, 36),
    (10, "q2_K", 256, 84),
    (11, "q3_K", 256, 110),
    (12, "q4_K", 256, 144),
    (13, "q5_K", 256, 176),
    (14, "q6_K", 256, 210),
    (15, "q8_K", 256, 292),
    (16, "iq2_xxs", 256, 66),
    (17, "iq2_xs", 256, 74),
    (18, "iq3_xxs", 256, 98),
    (19, "iq1_s", 256, 50),
    (20, "iq4_nl", 32, 18),
    (21, "iq3_s", 256, 110),
    (22, "iq2_s", 256, 82),
    (23, "iq4_xs", 256, 136),
    (24, "i8", 1, 1),
    (25, "i16", 1, 2),
    (26, "i32", 1, 4),
    (27, "i64", 1, 8),
    (28, "f64", 1, 8),
    (29, "iq1_m", 256, 56),
    (30, "bf16", 1, 2),
    (34, "tq1_0", 256, 54),
    (35, "tq2_0", 256, 66),
    (39, "mxfp4", 32, 17),
    (40, "nvfp4", 64, 36),
    (41, "q1_0", 128, 18),
    (42, "q2_0", 64, 18),
)
"""By ggml's type number. Numbers missing here were withdrawn from ggml or are not known to it yet."""

TENSOR_TYPES_BY_NAME: Mapping[str, TensorType] = MappingProxyType({t.name: t for t in TENSOR_TYPES.values()})


@dataclass(frozen=True, slots=True)
class QuantizationType:
    """A file type: the name people know it by, its main tensor type, and what to expect of it."""

    number: int
    name: str
    tensor_type: TensorType
    description: str

    @property
    def is_lossless(self) -> bool:
        """Whether the weights are plain floating point, so that requantizing from it loses nothing twice."""
        return self.tensor_type.name in ("f32", "f16", "bf16")


def _quantization_types(*rows: tuple[int, str, str, str]) -> Mapping[int, QuantizationType]:
    return MappingProxyType(
        {
            number: QuantizationType(number, name, TENSOR_TYPES_BY_NAME[tensor_type], description)
            for number, name, tensor_type, description in rows
        }
    )


_HALF = "Unquantized, 16 bits: the reference for quality, and the best source to quantize from."
_Q8 = "Practically lossless, half the size of 16 bits."
_VERY_LOSSY = "Very small, and noticeably worse: only when nothing larger fits."
_EXTREME = "Extremely small, with heavy loss: a last resort for very large models."
_TERNARY = "For models trained with ternary weights (BitNet, TriLM); others break."

QUANTIZATION_TYPES: Mapping[int, QuantizationType] = _quantization_types(
    (0, "F32", "f32", "Unquantized, 32 bits: twice the size of 16 bits for no visible gain."),
    (1, "F16", "f16", _HALF),
    (2, "Q4_0", "q4_0", "Small and fast on every processor; Q4_K_M answers better at about the same size."),
    (3, "Q4_1", "q4_1", "A little larger and better than Q4_0; Q4_K_M is usually the better choice."),
    (7, "Q8_0", "q8_0", _Q8),
    (8, "Q5_0", "q5_0", "Low loss; Q5_K_M answers better at about the same size."),
    (9, "Q5_1", "q5_1", "Low loss; Q5_K_M is smaller and as good."),
    (10, "Q2_K", "q2_K", _VERY_LOSSY),
    (11, "Q3_K_S", "q3_K", "Small, with clear loss of quality."),
    (12, "Q3_K_M", "q3_K", "Small, with noticeable loss of quality."),
    (13, "Q3_K_L", "q3_K", "Small, with some loss of quality; Q4_K_S is often worth the extra bytes."),
    (14, "Q4_K_S", "q4_K", "Good quality at a small size."),
    (15, "Q4_K_M", "q4_K", "The usual choice: good quality, balanced size and speed."),
    (16, "Q5_K_S", "q5_K", "Low loss, a little smaller than Q5_K_M."),
    (17, "Q5_K_M", "q5_K", "Low loss: choose it when Q4_K_M leaves room."),
    (18, "Q6_K", "q6_K", "Very low loss, close to Q8_0 at three quarters of its size."),
    (19, "IQ2_XXS", "iq2_xxs", _EXTREME),
    (20, "IQ2_XS", "iq2_xs", _EXTREME),
    (21, "Q2_K_S", "q2_K", _VERY_LOSSY),
    (22, "IQ3_XS", "iq3_s", "Smaller than Q3_K_M at similar quality; slower on processors."),
    (23, "IQ3_XXS", "iq3_xxs", "Very small for its quality; slower on processors."),
    (24, "IQ1_S", "iq1_s", _EXTREME),
    (25, "IQ4_NL", "iq4_nl", "Like Q4_K_S in size and quality, for row lengths that K types cannot store."),
    (26, "IQ3_S", "iq3_s", "As small as Q3_K_S and better; slower on processors."),
    (27, "IQ3_M", "iq3_s", "Smaller than Q3_K_L at similar quality; slower on processors."),
    (28, "IQ2_S", "iq2_xs", _EXTREME),
    (29, "IQ2_M", "iq2_s", _VERY_LOSSY),
    (30, "IQ4_XS", "iq4_xs", "Smaller than Q4_K_S at nearly its quality; slower on processors."),
    (31, "IQ1_M", "iq1_m", _EXTREME),
    (32, "BF16", "bf16", _HALF),
    (36, "TQ1_0", "tq1_0", _TERNARY),
    (37, "TQ2_0", "tq2_0", _TERNARY),
    (38, "MXFP4", "mxfp4", "Experts in 4-bit floating point, as gpt-oss was trained: its native form."),
    (39, "NVFP4", "nvfp4", "4-bit floating point with finer scales, fast on recent NVIDIA cards."),
    (40, "Q1_0", "q1_0", "One bit per weight, for models trained that way; others break."),
    (41, "Q2_0", "q2_0", "Two bits per weight, for models trained that way; others break."),
)
"""By llama.cpp's file type number (`general.file_type`)."""

QUANTIZATION_TYPES_BY_NAME: Mapping[str, QuantizationType] = MappingProxyType(
    {q.name: q for q in QUANTIZATION_TYPES.values()}
)

_GUESSED = 1024
"""llama.cpp sets this bit in a file type that it guessed from the tensors."""

_IN_A_FILE_NAME = re.compile(
    r"(?:^|[-._])((?:UD-)?(?:I?Q\d(?:_\d|_K|_NL|_XXS|_XS|_S|_M|_L|_XL)*|TQ\d_\d|MXFP4|NVFP4|BF16|FP16|FP32|F16|F32))(?=[-._]|$)",
    re.IGNORECASE,
)


def by_file_type(number: int | None) -> QuantizationType | None:
    """The quantization type that `general.file_type` names, None if llama.cpp has none of that number."""
    return None if number is None else QUANTIZATION_TYPES.get(number & ~_GUESSED)


def named_in(file_name: str) -> str | None:
    """The quantization name in a file name such as `gemma-3-270m-it.q4_k_m.gguf`, upper case; None if there is none.

    The last one counts: repositories put it at the end.
    """
    stem = re.sub(r"(?i)\.gguf$", "", file_name)
    found = _IN_A_FILE_NAME.findall(stem)
    return found[-1].upper().replace("FP16", "F16").replace("FP32", "F32") if found else None


def described(name: str) -> str | None:
    """What to expect of a type by its name, a repository's own mixture (UD-Q4_K_XL) by that of its kin; None if it has none."""
    known = QUANTIZATION_TYPES_BY_NAME.get(name)
    if known is not None:
        return known.description
    plain = name.removeprefix("UD-")
    stem = re.sub(r"_(?:XXS|XS|S|M|L|XL|XXL)$", "", plain)
    for kin in (plain, f"{stem}_M", f"{stem}_S", stem):
        if kin in QUANTIZATION_TYPES_BY_NAME:
            return f"A mixture of the repository's own, akin to {kin}. {QUANTIZATION_TYPES_BY_NAME[kin].description}"
    return None


def main_tensor_type(bytes_by_type: Mapping[int, int]) -> TensorType | None:
    """The tensor type that holds most of the bytes, of those that `bytes_by_type` counts by ggml's number."""
    known: Iterable[int] = [number for number in bytes_by_type if number in TENSOR_TYPES]
    best = max(known, key=lambda number: bytes_by_type[number], default=None)
    return None if best is None else TENSOR_TYPES[best]
