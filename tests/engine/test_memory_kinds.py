"""Reuse is right for every kind of memory that llama.cpp has: plain, sliding window, compressed, recurrent, hybrid."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.worker_process import Message, WorkerProcess, text
from tests.gguf_builder import build
from tests.gguf_shapes import TINY, Shape

pytestmark = pytest.mark.live

KEEPS_STATE = {"tiny-mamba", "tiny-jamba", "tiny-qwen-next"}
SPEECH = "four score and seven years ago " * 12
BEGINNING = SPEECH[:80]
"""How large a piece of a prompt is follows from the time that the last one took, and random experts judge close calls by the pieces:
after 100 characters tiny-mla has one, and says "i" or "di". After these all say the same at pieces of 32 to 256."""


def cached(replies: list[Message]) -> int:
    assert replies[-1]["type"] == "done", replies[-1]
    return int(replies[-1]["timings"]["cache_n"])


@pytest.mark.parametrize("shape", TINY, ids=lambda shape: shape.name)
def test_a_prompt_is_extended_and_rewound_as_far_as_its_memory_allows(shape: Shape, tmp_path: Path) -> None:
    path = build(tmp_path / "tiny.gguf", shape, body="random")
    with WorkerProcess(path, tmp_path, n_ctx_seq=2048, n_seq_max=2) as worker:
        worker.report("ready")
        # One token is sampled and not evaluated: the memory ends with the prompt.
        first = worker.answer(prompt=SPEECH, temperature=0, max_tokens=1)
        n_first = first[-1]["timings"]["prompt_n"]
        longer = worker.answer(prompt=SPEECH + "our fathers", temperature=0, max_tokens=2)
        assert cached(longer) >= n_first - 2, "all but what the new words have merged with"
        fresh = worker.answer(prompt=SPEECH + "our fathers", temperature=0, max_tokens=2, owner="bob")
        assert cached(fresh) == 0
        assert text(longer) == text(fresh)
        shorter = worker.answer(prompt=BEGINNING, temperature=0, max_tokens=1)
        if shape.name in KEEPS_STATE:
            assert cached(shorter) == 0, "a state cannot be taken back"
        else:
            assert cached(shorter) > 0
        assert text(shorter) == text(worker.answer(prompt=BEGINNING, temperature=0, max_tokens=1, owner="bob"))


def test_a_window_that_has_moved_on_is_not_taken_for_the_beginning(tmp_path: Path) -> None:
    (sliding,) = (shape for shape in TINY if shape.name == "tiny-swa")
    path = build(tmp_path / "tiny.gguf", sliding, body="random")
    with WorkerProcess(path, tmp_path, n_ctx_seq=4096, n_seq_max=1, n_batch=256, n_ubatch=256) as worker:
        worker.report("ready")
        long = worker.answer(prompt=SPEECH * 10, temperature=0, max_tokens=1)
        assert long[-1]["timings"]["prompt_n"] > 2000, "the window's cache has been overwritten more than once"
        back = worker.answer(prompt=SPEECH, temperature=0, max_tokens=2)
        assert cached(back) == 0
        again = worker.answer(prompt=SPEECH, temperature=0, max_tokens=2)
        assert cached(again) == back[-1]["timings"]["prompt_n"] - 1
        assert text(back) == text(again)


def test_a_model_without_a_vocabulary_is_unsupported(tmp_path: Path) -> None:
    path = build(tmp_path / "model.gguf", TINY[0], body="sparse")
    with WorkerProcess(path, tmp_path) as worker:
        failed = worker.report("failed")
        assert failed["reason"] == "unsupported"
        assert "vocabulary" in failed["detail"]
