"""A worker reads a text and writes down how it would have gone on."""

from __future__ import annotations

import math
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.jobs.perplexity import compare
from tests.engine.worker_process import Call, WorkerProcess, text

pytestmark = pytest.mark.live

TEXT = (
    "The sun had gone down behind the hills, and the people of the village came home from the fields. They were tired "
    "and hungry, and they sat down at the table to eat their bread and drink their milk."
)


def asked(worker: WorkerProcess, tokens: list[int], first: int, path: Path, owner: str) -> Call:
    path.touch()
    return worker.call(type="score", request_id="r", owner=owner, tokens=tokens, first=first, path=str(path))


def scored(
    worker: WorkerProcess, tokens: list[int], first: int, path: Path, owner: str = "measure"
) -> np.ndarray[Any, Any]:
    with asked(worker, tokens, first, path, owner) as call:
        n_rows = call.next("scored")["n_rows"]
    assert n_rows == len(tokens) - 1 - first
    return np.frombuffer(path.read_bytes(), dtype="<f4").reshape(n_rows, -1)


def test_a_text_is_foretold_better_than_its_own_words_shuffled(worker: WorkerProcess, tmp_path: Path) -> None:
    tokens = worker.tokenize(TEXT)
    shuffled = [*tokens[::2], *tokens[1::2]]
    in_order, by_chance = (
        float(compare(scored(worker, each, 4, tmp_path / f"{number}"), each[5:]).surprise.mean())
        for number, each in enumerate((tokens, shuffled))
    )
    assert in_order < 3.5
    assert by_chance > in_order + 1


def test_the_rows_do_not_depend_on_how_many_come_out_of_a_step(worker: WorkerProcess, tmp_path: Path) -> None:
    """Two of one text at once have fewer rows each, and more steps."""
    tokens = worker.tokenize(TEXT)
    alone = scored(worker, tokens, 4, tmp_path / "alone")
    paths = [tmp_path / "left", tmp_path / "right"]
    calls = [asked(worker, tokens, 4, path, f"measure{number}") for number, path in enumerate(paths)]
    for call in calls:
        call.next("scored")
        call.close()
    for path in paths:
        rows = np.frombuffer(path.read_bytes(), dtype="<f4").reshape(alone.shape)
        # llama.cpp rounds differently in batches of other sizes; guesses stay the same all but for a hair.
        divergence = compare(rows, tokens[5:], alone).divergence
        assert divergence is not None
        assert float(divergence.mean()) < 0.01


def test_the_likeliest_token_is_the_one_that_is_generated(worker: WorkerProcess, tmp_path: Path) -> None:
    prompt = "One, two, three, four, five, six, seven, eight,"
    tokens = worker.tokenize(prompt)
    rows = scored(worker, [*tokens, 0], 0, tmp_path / "rows")
    generated = text(worker.answer(prompt=prompt, temperature=0, max_tokens=1))
    assert worker.tokenize(generated) == [int(rows[-1].argmax())]


def test_an_answer_goes_on_beside_it(worker: WorkerProcess, tmp_path: Path) -> None:
    tokens = worker.tokenize(TEXT * 4)
    with worker.generate(prompt="Once upon a time", temperature=0, max_tokens=24) as answer:
        rows = scored(worker, tokens, 8, tmp_path / "rows", owner="beside")
        done = answer.next("done")
    assert done["timings"]["predicted_n"] == 24
    assert all(map(math.isfinite, array("f", rows[-1].tobytes())))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokens": [1]}, "2 to 1024 can be scored"),
        ({"tokens": list(range(2000))}, "2 to 1024 can be scored"),
        ({"tokens": [1, 2, 10**9]}, "tokens: expected"),
        ({"tokens": "text"}, "tokens: expected"),
        ({"first": 2}, "first: expected"),
        ({"first": -1}, "first: expected"),
        ({"path": "/nowhere/at/all"}, "cannot be opened"),
        ({"path": 3}, "path: expected"),
        ({"also": 1}, "unknown fields"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    change: dict[str, Any], said: str, worker: WorkerProcess, tmp_path: Path
) -> None:
    path = tmp_path / "rows"
    path.touch()
    request = {"type": "score", "request_id": "r", "owner": "o", "tokens": [1, 2, 3], "first": 0, "path": str(path)}
    with worker.call(**{**request, **change}) as call:
        assert said in call.next("refused")["detail"]
    assert path.read_bytes() == b""
