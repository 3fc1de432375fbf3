from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from models_app.gguf.quantization import (
    QUANTIZATION_TYPES,
    QUANTIZATION_TYPES_BY_NAME,
    TENSOR_TYPES,
    by_file_type,
    main_tensor_type,
    named_in,
)


def test_block_sizes_are_those_of_the_ggml_that_runs(ggml_types: list[list[Any]]) -> None:
    mine = [[t.number, t.name, t.block_elements, t.block_bytes] for t in TENSOR_TYPES.values()]
    assert mine == ggml_types


def test_file_types_are_those_of_llama_h(llama_sdist: Path) -> None:
    text = (llama_sdist / "vendor/llama.cpp/include/llama.h").read_text()
    lines = re.findall(r"^\s+LLAMA_FTYPE_(?:MOSTLY|ALL)_(\w+)\s*=\s*(\d+)", text, re.MULTILINE)
    assert len(lines) > 30
    theirs = {int(number): name.removesuffix("_MOE") for name, number in lines}
    assert {number: known.name for number, known in QUANTIZATION_TYPES.items()} == theirs


def test_every_type_is_explained_in_a_sentence() -> None:
    for known in QUANTIZATION_TYPES.values():
        assert known.description.endswith(".")
        assert 0.9 < known.tensor_type.bits_per_weight <= 32


def test_names_are_found_again() -> None:
    assert QUANTIZATION_TYPES_BY_NAME["Q4_K_M"].number == 15
    assert by_file_type(15) is QUANTIZATION_TYPES_BY_NAME["Q4_K_M"]
    assert by_file_type(15 + 1024) is QUANTIZATION_TYPES_BY_NAME["Q4_K_M"]
    assert by_file_type(999) is by_file_type(None) is None


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        ("gemma-3-270m-it.q4_k_m.gguf", "Q4_K_M"),
        ("Qwen3-30B-A3B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("model-IQ2_XXS.gguf", "IQ2_XXS"),
        ("llama-f16.gguf", "F16"),
        ("llama.FP16.gguf", "F16"),
        ("gpt-oss-20b-MXFP4.GGUF", "MXFP4"),
        ("tinyllama-Q8_0-imatrix-Q4_K_S.gguf", "Q4_K_S"),
        ("Q8-model.gguf", "Q8"),
        ("plain.gguf", None),
        ("IQUEST-coder.gguf", None),
        ("Qwen2.gguf", None),
    ],
)
def test_the_quantization_is_read_from_a_file_name(file_name: str, name: str | None) -> None:
    assert named_in(file_name) == name


def test_the_main_type_is_the_one_with_most_bytes() -> None:
    q4_k, f32 = 12, 0
    found = main_tensor_type({f32: 10, q4_k: 100, 250: 1000})
    assert found is not None
    assert found.name == "q4_K"
    assert main_tensor_type({}) is None
