"""The GGUF's template decides how messages become a prompt; without a good one the worker completes text and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.worker_process import WorkerProcess, text

pytestmark = pytest.mark.live

KEY = b"tokenizer.chat_template"


def variant(starter: Path, folder: Path, template: str | None) -> Path:
    """The starter with another chat template of the same length, or with none."""
    raw = starter.read_bytes()
    at = raw.index(KEY)
    start = at + len(KEY) + 4 + 8
    length = int.from_bytes(raw[start - 8 : start], "little")
    if template is None:
        changed = raw[:at] + b"tokenizer.chat_was_here" + raw[at + len(KEY) :]
    else:
        body = template.encode()
        comment = b"{#" + b" " * (length - len(body) - 4) + b"#}"
        changed = raw[:start] + comment + body + raw[start + length :]
    path = folder / "variant.gguf"
    path.write_bytes(changed)
    return path


def test_without_a_template_messages_are_joined_plainly(starter_path: Path, tmp_path: Path) -> None:
    with WorkerProcess(variant(starter_path, tmp_path, None), tmp_path, n_ctx_seq=512, n_seq_max=1) as worker:
        ready = worker.report("ready")
        assert ready["mode"] == "completion"
        assert "no chat template" in ready["mode_reason"]
        messages = [{"role": "user", "content": "7 8 9 " * 5}, {"role": "user", "content": "7 8"}]
        joined = worker.answer(messages, temperature=0, max_tokens=2)
        plain = worker.answer(prompt="7 8 9 " * 5 + "\n\n7 8", temperature=0, max_tokens=2, owner="bob")
        assert joined[0]["total"] == plain[0]["total"]
        assert text(joined) == text(plain)
        empty = worker.answer([{"role": "user", "content": " "}])[-1]
        assert (empty["type"], empty["code"]) == ("refused", "bad_request")


def test_a_template_that_does_not_compile_means_completion(starter_path: Path, tmp_path: Path) -> None:
    path = variant(starter_path, tmp_path, "{% if %}")
    with WorkerProcess(path, tmp_path, n_ctx_seq=512, n_seq_max=1) as worker:
        ready = worker.report("ready")
        assert ready["mode"] == "completion"
        assert "does not compile" in ready["mode_reason"]
        assert text(worker.answer("red green blue " * 5, temperature=0, max_tokens=3))


def test_a_template_that_never_ends_costs_one_request_and_not_the_worker(starter_path: Path, tmp_path: Path) -> None:
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with WorkerProcess(variant(starter_path, tmp_path, loop), tmp_path, n_ctx_seq=512, n_seq_max=2) as worker:
        worker.report("ready", mode="chat")
        with worker.generate(prompt="On", owner="bob", max_tokens=200, logit_bias={"0": -100, "2": -100}) as other:
            other.next("token")
            refused = worker.answer("Hello")[-1]
            assert (refused["type"], refused["code"]) == ("refused", "template_timeout")
            assert other.next("done")["timings"]["predicted_n"] == 200


def test_a_template_that_refuses_is_quoted(starter_path: Path, tmp_path: Path) -> None:
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('No system role, please') }}{% endif %}Hi"
    with WorkerProcess(variant(starter_path, tmp_path, strict), tmp_path, n_ctx_seq=512, n_seq_max=1) as worker:
        worker.report("ready", mode="chat")
        refused = worker.answer([{"role": "system", "content": "x"}])[-1]
        assert refused["code"] == "template_error"
        assert "No system role, please" in refused["detail"]
        assert text(worker.answer("x", max_tokens=3, logit_bias={"0": -100, "2": -100}))


def test_reasoning_is_set_apart_from_the_answer(starter_path: Path, tmp_path: Path) -> None:
    thinker = "{% for i in range(8) %}<think> red green blue </think> seven eight nine\n{% endfor %}<think>"
    with WorkerProcess(variant(starter_path, tmp_path, thinker), tmp_path, n_ctx_seq=512, n_seq_max=1) as worker:
        worker.report("ready", mode="chat")
        replies = worker.answer("x", temperature=0, max_tokens=60, stop=["\n"])
        assert text(replies, reasoning=True) == "red green blue"
        assert text(replies) == "seven eight nine"
        raw = worker.answer(prompt="x<think>" * 8, temperature=0, max_tokens=10)
        assert text(raw, reasoning=True) == "", "a raw prompt gets the model's text as it is"
