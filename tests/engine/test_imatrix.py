"""An importance matrix, made with the real llama.cpp and read back."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from inference.core.quantizing import Recipe
from inference.engine.imatrix import read_importance
from inference.engine.quantizing import QuantizeFailed, check, make_imatrix, quantize
from models_app.gguf import read_files
from tests.gguf_builder import TINY, build

ENVIRONMENT = dict(os.environ)
CHUNK = 512
SHAPES = {shape.name: shape for shape in TINY}
WORDS = "a be ca do ed fi go hi it jo ki la me no or pi qu re so ta un vi we xi yo za "


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text(WORDS * 60)
    return path


def made(model: Path, target: Path, text: Path, most_chunks: int = 2) -> list[tuple[int, int]]:
    events = make_imatrix(model, target, text, ENVIRONMENT, most_chunks=most_chunks, n_threads=1)
    return [event for event in events if event is not None]


def numbers(path: Path) -> dict[str, np.ndarray]:
    raw = path.read_bytes()
    return {
        tensor.name: np.frombuffer(raw[tensor.offset : tensor.offset + tensor.n_bytes], dtype="<f4")
        for tensor in read_files(path).tensors
    }


@pytest.mark.parametrize("name", ["tiny-gqa", "tiny-moe", "tiny-swa", "tiny-mamba", "tiny-mla"])
def test_every_layer_has_its_sums_and_they_quantize(name: str, text: Path, tmp_path: Path) -> None:
    model = build(tmp_path / "model.gguf", SHAPES[name], quantization="F16", body="random")
    target = tmp_path / "own.imatrix.gguf"
    assert made(model, target, text) == [(1, 2), (2, 2)]
    found = numbers(target)
    layers = {int(key.split(".")[1]) for key in found}
    assert layers == set(range(SHAPES[name].n_layers)), "the last one, too"
    importance = read_importance(target, read_files(model))
    assert importance.dataset == "words.txt"
    assert importance.n_chunks == 2
    result = tmp_path / "result.gguf"
    for _ in quantize(model, result, Recipe("Q4_K_S"), ENVIRONMENT, imatrix=target, n_threads=1):
        pass
    for _ in check(result, ENVIRONMENT):
        pass


def test_weights_with_the_same_input_have_the_same_sums(text: Path, tmp_path: Path) -> None:
    model = build(tmp_path / "model.gguf", SHAPES["tiny-gqa"], quantization="F16", body="random")
    made(model, tmp_path / "m.gguf", text)
    found = numbers(tmp_path / "m.gguf")
    for layer in range(4):
        assert np.array_equal(found[f"blk.{layer}.attn_q.weight.in_sum2"], found[f"blk.{layer}.attn_v.weight.in_sum2"])
        assert np.array_equal(
            found[f"blk.{layer}.ffn_up.weight.in_sum2"], found[f"blk.{layer}.ffn_gate.weight.in_sum2"]
        )
        assert not np.array_equal(
            found[f"blk.{layer}.ffn_up.weight.in_sum2"], found[f"blk.{layer}.attn_q.weight.in_sum2"]
        )
    assert {float(each) for key, counts in found.items() if key.endswith(".counts") for each in counts} == {2.0 * CHUNK}
    # What goes into attention was brought to a mean square of one just before, and the norms of this file are ones.
    mean_square = found["blk.0.attn_q.weight.in_sum2"].mean() / (2 * CHUNK)
    assert mean_square == pytest.approx(1, rel=0.01)


def test_each_token_counts_once_for_each_expert_that_it_asked(text: Path, tmp_path: Path) -> None:
    model = build(tmp_path / "model.gguf", SHAPES["tiny-moe"], quantization="F16", body="random")
    made(model, tmp_path / "m.gguf", text, most_chunks=1)
    found = numbers(tmp_path / "m.gguf")
    counts = found["blk.1.ffn_up_exps.weight.counts"]
    assert len(counts) == 4
    assert counts.sum() == 2 * CHUNK
    sums = found["blk.1.ffn_up_exps.weight.in_sum2"].reshape(4, -1)
    assert [bool(row.any()) for row in sums] == [bool(count) for count in counts]


@pytest.mark.parametrize(
    ("content", "said"), [(b"too short", r"at least 512 are needed"), (b"\xff\xfe" * 4000, "no text in UTF-8")]
)
def test_a_text_that_will_not_do_gets_a_sentence(content: bytes, said: str, tmp_path: Path) -> None:
    model = build(tmp_path / "model.gguf", SHAPES["tiny-gqa"], quantization="F16", body="random")
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(QuantizeFailed, match=said):
        made(model, tmp_path / "m.gguf", path)
    assert not (tmp_path / "m.gguf").exists()
