"""A slot's tokens are reused for their owner, for nobody else, and without changing the answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.worker_process import Message, WorkerProcess, text

pytestmark = pytest.mark.live

SECRET = ("The vault's number is 4711. " * 12).strip()
"""Like all texts here that a model has to go on with, it goes in circles: the next token is never in doubt. Evaluating a
prompt in other pieces changes the last bits of the logits, which may tip a close choice but not a clear one."""


def circle(words: str) -> str:
    return " ".join([words] * 14)


def cached(replies: list[Message]) -> int:
    assert replies[0]["type"] == "prefill"
    assert replies[0]["cached"] == replies[-1]["timings"]["cache_n"]
    return int(replies[0]["cached"])


@pytest.mark.parametrize("n_seq_max", [1, 3])
def test_a_prompt_is_reused_for_its_owner_and_for_nobody_else(
    starter_path: Path, tmp_path: Path, n_seq_max: int
) -> None:
    with WorkerProcess(starter_path, tmp_path, n_ctx_seq=512, n_seq_max=n_seq_max) as worker:
        worker.report("ready")
        first = worker.answer(prompt=SECRET, owner="ann", temperature=0, max_tokens=8)
        again = worker.answer(prompt=SECRET, owner="ann", temperature=0, max_tokens=8)
        other = worker.answer(prompt=SECRET, owner="bob", temperature=0, max_tokens=8)
        assert cached(first) == 0
        assert cached(again) == first[0]["total"] - 1
        assert cached(other) == 0
        assert text(first) == text(again) == text(other)


def test_a_conversation_that_goes_on_evaluates_only_what_is_new(worker: WorkerProcess) -> None:
    said: list[Message] = [{"role": "user", "content": "Tell me about the sea. " * 20}]
    first = worker.answer(said, owner="eve", temperature=0, max_tokens=16)
    said += [{"role": "assistant", "content": text(first)}, {"role": "user", "content": "And the shore?"}]
    second = worker.answer(said, owner="eve", temperature=0, max_tokens=8)
    fresh = worker.answer(said, owner="fay", temperature=0, max_tokens=8)
    assert cached(second) >= first[0]["total"]
    assert cached(fresh) == 0


def test_a_changed_prompt_is_reused_up_to_the_change(worker: WorkerProcess) -> None:
    head = "These words stay the same. " * 10
    one, two = head + circle("1 2 3"), head + circle("7 8 9")
    worker.answer(prompt=one, owner="gil", temperature=0, max_tokens=4)
    changed = worker.answer(prompt=two, owner="gil", temperature=0, max_tokens=6)
    fresh = worker.answer(prompt=two, owner="hal", temperature=0, max_tokens=6)
    assert 0 < cached(changed) < changed[0]["total"] - 1
    assert text(changed) == text(fresh)


def test_a_second_conversation_shares_the_owners_prefix_without_losing_the_first(
    starter_path: Path, tmp_path: Path
) -> None:
    with WorkerProcess(starter_path, tmp_path, n_ctx_seq=512, n_seq_max=3) as worker:
        worker.report("ready")
        head = "You are a patient teacher. " * 4
        one, two = head + circle("1 2 3"), head + circle("7 8 9")
        worker.answer(prompt=one, owner="ann", temperature=0, max_tokens=2)
        second = worker.answer(prompt=two, owner="ann", temperature=0, max_tokens=6)
        assert cached(second) > 0, "the common beginning was copied"
        back = worker.answer(prompt=one, owner="ann", temperature=0, max_tokens=2)
        assert cached(back) == back[0]["total"] - 1, "and the first conversation is still whole"
        fresh = worker.answer(prompt=two, owner="bob", temperature=0, max_tokens=6)
        assert cached(fresh) == 0
        assert text(second) == text(fresh)
