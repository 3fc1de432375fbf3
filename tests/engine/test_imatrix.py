"""An importance matrix, made by a real worker that reads, and read back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.core.planning.recipe import Recipe
from inference.engine.imatrix.file import read_importance
from inference.engine.tools.quantize import check, quantize
from models_app.gguf import read_files
from tests.engine.imatrix_worker import CHUNK, OPTIONS, Numbers, made, numbers, read, request
from tests.engine.worker_process import WorkerProcess
from tests.gguf_builder import TINY, build
from tests.models_app.conftest import rpc_device

__all__ = ["rpc_device"]

pytestmark = pytest.mark.live

ENVIRONMENT = dict(os.environ)
SHAPES = {shape.name: shape for shape in TINY}
WORDS = "a be ca do ed fi go hi it jo ki la me no or pi qu re so ta un vi we xi yo za " * 60


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("reader")
    model = build(folder / "model.gguf", SHAPES["tiny-gqa"], quantization="F16", body="random")
    with WorkerProcess(model, folder, **OPTIONS) as worker:
        worker.report("ready")
        yield worker


def farthest(one: Numbers, other: Numbers) -> float:
    """The largest difference of two matrices' sums, as a share of the tensor's mean."""
    assert one.keys() == other.keys()
    return max(
        float(np.abs(one[key] - other[key]).max() / other[key].mean()) for key in one if not key.endswith(".counts")
    )


@pytest.mark.parametrize("name", ["tiny-gqa", "tiny-moe", "tiny-swa", "tiny-mamba", "tiny-mla"])
def test_every_layer_has_its_sums_and_they_quantize(name: str, tmp_path: Path) -> None:
    model = build(tmp_path / "model.gguf", SHAPES[name], quantization="F16", body="random")
    target = made(model, tmp_path, WORDS)
    layers = {int(key.split(".")[1]) for key in numbers(target)}
    assert layers == set(range(SHAPES[name].n_layers)), "the last one, too"
    importance = read_importance(target, read_files(model))
    assert importance.dataset == "words.txt"
    assert importance.n_chunks == 2
    result = tmp_path / "result.gguf"
    for _ in quantize(model, result, Recipe("Q4_K_S"), ENVIRONMENT, imatrix=target, n_threads=1):
        pass
    for _ in check(result, ENVIRONMENT):
        pass


def test_each_chunk_is_told_and_weights_with_the_same_input_have_the_same_sums(
    reader: WorkerProcess, tmp_path: Path
) -> None:
    replies = read(reader, WORDS, tmp_path / "m.gguf")
    assert replies[:2] == [{"type": "chunk", "done": number, "total": 2} for number in (1, 2)]
    assert (replies[2]["type"], replies[2]["n_chunks"]) == ("made", 2)
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


def test_each_token_counts_once_for_each_expert_that_it_asked(tmp_path: Path) -> None:
    model = build(tmp_path / "model.gguf", SHAPES["tiny-moe"], quantization="F16", body="random")
    found = numbers(made(model, tmp_path, WORDS, most_chunks=1))
    counts = found["blk.1.ffn_up_exps.weight.counts"]
    assert len(counts) == 4
    assert counts.sum() == 2 * CHUNK
    sums = found["blk.1.ffn_up_exps.weight.in_sum2"].reshape(4, -1)
    assert [bool(row.any()) for row in sums] == [bool(count) for count in counts]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tiny-gqa", {}),
        ("tiny-gqa", {"n_gpu_layers": 3}),
        ("tiny-moe", {}),
        ("tiny-moe", {"n_cpu_moe": 2}),
        ("tiny-swa", {}),
        ("tiny-mamba", {}),
        ("tiny-mla", {}),
    ],
)
def test_a_matrix_made_on_a_gpu_is_the_one_made_on_the_processor(
    name: str, options: dict[str, Any], tmp_path: Path, rpc_device: str
) -> None:
    model = build(tmp_path / "model.gguf", SHAPES[name], quantization="F16", body="random")
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    on_processor = numbers(made(model, here, WORDS, n_gpu_layers=0))
    on_gpu = numbers(made(model, there, WORDS, rpc_servers=(rpc_device,), **options))
    assert "RPC0" in (there / "worker.log").read_text()
    assert farthest(on_gpu, on_processor) < 0.02
    for key in on_gpu:
        if key.endswith(".counts"):
            assert np.abs(on_gpu[key] - on_processor[key]).max() <= 0.02 * on_processor[key].max(), key


@pytest.mark.parametrize("name", ["tiny-gqa", "tiny-moe"])
def test_a_text_that_is_read_in_parts_comes_to_the_same(name: str, tmp_path: Path) -> None:
    model = build(tmp_path / "model.gguf", SHAPES[name], quantization="F16", body="random")
    with WorkerProcess(model, tmp_path, **OPTIONS) as worker:
        worker.report("ready")
        read(worker, WORDS, tmp_path / "whole.gguf", most_chunks=3)
        parts: list[Path] = []
        for number in range(3):
            earlier = str(parts[-1]) if parts else None
            parts.append(tmp_path / f"part{number}.gguf")
            replies = read(worker, WORDS, parts[-1], most_chunks=3, first_chunk=number, earlier=earlier, seconds=0)
            assert [each["type"] for each in replies] == ["chunk", "made"], replies
            assert (replies[0]["done"], replies[0]["total"], replies[1]["n_chunks"]) == (number + 1, 3, number + 1)
    assert parts[-1].read_bytes() == (tmp_path / "whole.gguf").read_bytes()


def test_a_sign_of_life_leaves_no_trace_in_the_sums(reader: WorkerProcess, tmp_path: Path) -> None:
    read(reader, WORDS, tmp_path / "alone.gguf", most_chunks=4)
    target = tmp_path / "beside.gguf"
    with reader.call(**request(WORDS, target, most_chunks=4)) as call:
        call.next("chunk")
        assert reader.ask(type="ping")["type"] == "pong"
        call.next("made")
    assert target.read_bytes() == (tmp_path / "alone.gguf").read_bytes()


def test_whoever_leaves_gets_no_matrix_and_the_next_one_is_served(reader: WorkerProcess, tmp_path: Path) -> None:
    left = tmp_path / "left.gguf"
    with reader.call(**request(WORDS, left, most_chunks=100)) as call:
        call.next("chunk")
    read(reader, WORDS, tmp_path / "next.gguf", most_chunks=1)
    assert left.read_bytes() == b""
    counts = {float(each) for key, row in numbers(tmp_path / "next.gguf").items() if "counts" in key for each in row}
    assert counts == {float(CHUNK)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": "too short"}, "at least 512 are needed"),
        ({"text": "half a character \ud800" * 400}, "cannot be cut into tokens"),
        ({"text": None}, "text: expected"),
        ({"most_chunks": 0}, "most_chunks: expected"),
        ({"most_chunks": True}, "most_chunks: expected"),
        ({"first_chunk": 2, "earlier": "/nowhere"}, "first_chunk: the text has 2"),
        ({"first_chunk": 1}, "earlier: expected"),
        ({"earlier": "/nowhere"}, "earlier: expected"),
        ({"first_chunk": 1, "earlier": "/nowhere"}, "earlier: nowhere cannot be read"),
        ({"seconds": None}, "seconds: expected"),
        ({"dataset": ""}, "dataset: expected"),
        ({"path": "/nowhere/at/all"}, "cannot be opened"),
        ({"path": None}, "path: expected"),
        ({"also": 1}, "unknown fields"),
        ({"type": "generate"}, "this worker reads"),
        ({"type": "score"}, "this worker reads"),
    ],
)
def test_what_cannot_be_read_is_refused(
    change: dict[str, Any], said: str, reader: WorkerProcess, tmp_path: Path
) -> None:
    path = tmp_path / "m.gguf"
    with reader.call(**{**request(WORDS, path), **change}) as call:
        assert said in call.next("refused")["detail"]
    assert path.read_bytes() == b""


def test_an_ordinary_worker_makes_no_matrix(tmp_path: Path) -> None:
    model = build(tmp_path / "model.gguf", SHAPES["tiny-gqa"], quantization="F16", body="random")
    with WorkerProcess(model, tmp_path, n_ctx_seq=CHUNK, n_seq_max=1) as worker:
        worker.report("ready")
        (refusal,) = read(worker, WORDS, tmp_path / "m.gguf")
        assert refusal["code"] == "bad_request"
