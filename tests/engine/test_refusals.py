"""Bad requests are refused in words, and the worker lives on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.worker_process import Call, Message, WorkerProcess, text

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def _lives_on(worker: WorkerProcess) -> Iterator[None]:
    yield
    assert text(worker.answer("Hello", temperature=0, max_tokens=2, owner="after"))


def refusal(call: Call) -> Message:
    with call:
        replies = list(call)
    assert [reply["type"] for reply in replies] == ["refused"]
    assert replies[0]["detail"]
    return replies[0]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"not json\n", "not JSON"),
        (b'{"type":\n', "not JSON"),
        (b"[1, 2]\n", "JSON object"),
        (b'{"type": 5}\n', "JSON object"),
        (b"\xff\xfe\n", "not JSON"),
        (b"[" * 200_000 + b"\n", "not JSON"),
        (b'{"type": "shutdown"}\n', "unknown type 'shutdown'"),
        (b'{"type": "tokenize"}\n', "text"),
        (b'{"type": "tokenize", "text": "\\ud800"}\n', "surrogate"),
    ],
)
def test_a_line_that_is_no_request_is_refused(worker: WorkerProcess, line: bytes, complaint: str) -> None:
    refused = refusal(Call(worker.path).send(line))
    assert refused["code"] == "bad_request"
    assert complaint in refused["detail"]


def test_a_line_longer_than_the_limit_is_refused(worker: WorkerProcess) -> None:
    call = Call(worker.path).send(b'{"type": "tokenize", "text": "' + b"x" * (17 * 1024 * 1024) + b'"}\n')
    assert refusal(call)["code"] == "bad_request"


def test_a_prompt_of_ten_megabytes_is_counted_and_refused(worker: WorkerProcess) -> None:
    refused = refusal(worker.generate(prompt="x " * (5 * 1024 * 1024)))
    assert refused["code"] == "context_exceeded"
    assert refused["facts"]["n_ctx_seq"] == 1024
    assert refused["facts"]["n_prompt"] > 1_000_000


GOOD: dict[str, Any] = {"type": "generate", "request_id": "r", "owner": "ann", "prompt": "x", "options": {}}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"owner": None}, "owner"),
        ({"owner": ""}, "owner"),
        ({"owner": "x" * 300}, "owner"),
        ({"request_id": 7}, "request_id"),
        ({"prompt": ""}, "not empty"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": "\ud83d"}, "surrogate"),
        ({"prompt": None}, "exactly one"),
        ({"messages": [{"role": "user", "content": "x"}]}, "exactly one"),
        ({"prompt": None, "messages": []}, "messages"),
        ({"prompt": None, "messages": "hello"}, "messages"),
        ({"prompt": None, "messages": ["hello"]}, "messages[0]"),
        ({"prompt": None, "messages": [{"role": "user"}]}, "messages[0].content"),
        ({"prompt": None, "messages": [{"role": 1, "content": "x"}]}, "messages[0].role"),
        ({"prompt": None, "messages": [{"role": "user", "content": "x", "tool": 1}]}, "unknown fields tool"),
        ({"options": []}, "options"),
        ({"admin": True}, "unknown fields: admin"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(worker: WorkerProcess, changes: dict[str, Any], complaint: str) -> None:
    message = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    refused = refusal(worker.call(**message))
    assert refused["code"] == "bad_request"
    assert complaint in refused["detail"]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"temperature": 99}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": [""]}, "stop"),
        ({"logit_bias": {"999999999": 1}}, "logit_bias"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"model_path": "/etc/passwd"}, "model_path"),
        ({"grammar": 'root ::= "a"', "json_schema": {}}, "grammar"),
    ],
)
def test_a_parameter_out_of_range_is_named(worker: WorkerProcess, options: dict[str, Any], name: str) -> None:
    refused = refusal(worker.call(**{**GOOD, "options": options}))
    assert (refused["code"], refused["facts"]) == ("bad_parameter", {"name": name})


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(worker: WorkerProcess) -> None:
    prompt = " word" * 1024
    n_prompt = len(worker.tokenize(prompt))
    refused = refusal(worker.generate(prompt=prompt))
    assert refused["code"] == "context_exceeded"
    assert refused["facts"] == {"n_prompt": n_prompt, "n_ctx_seq": 1024}
    assert str(n_prompt) in refused["detail"]
    assert "1024" in refused["detail"]


DEEP: dict[str, Any] = {}
for _ in range(300):
    DEEP = {"type": "array", "items": DEEP}


@pytest.mark.parametrize(
    "options",
    [
        {"grammar": "root ::= "},
        {"grammar": "root ::= nothing"},
        {"grammar": "root ::= " + "(" * 150_000},
        {"grammar": 'root ::= (("a"{9999}){9999}){9999}'},
        {"json_schema": {"type": "no such type"}},
        {"json_schema": {"$ref": "https://example.org/schema.json"}},
        {"json_schema": {"type": "array", "items": {"type": "string"}, "minItems": 10**9}},
        {"json_schema": {"type": "string", "pattern": "(((("}},
        {"json_schema": DEEP},
    ],
    ids=lambda options: str(options)[:40],
)
def test_a_grammar_or_schema_that_cannot_be_used_is_refused(worker: WorkerProcess, options: dict[str, Any]) -> None:
    with worker.generate("Well?", max_tokens=4, **options) as call:
        last = list(call)[-1]
    if options == {"grammar": "root ::= "}:
        assert last["type"] == "done", "the empty answer is all that this grammar allows"
    else:
        assert (last["type"], last.get("code")) == ("refused", "bad_grammar")


HOSTILE = {
    "left recursion": 'root ::= root "a" | "a"',
    "hidden left recursion": 'root ::= n root "a" | "a"\nn ::= m\nm ::= ""',
    "exponential stacks": 'root ::= s\ns ::= "a" s "x" | "a" s "y" | "a"',
    "exponential rules": "\n".join(f'r{i} ::= r{i + 1} r{i + 1} | "a"' for i in range(300)).replace("r0", "root")
    + '\nr300 ::= "a" | ""',
    "nullable loops": 'root ::= (((("a"?)*)?)*)* "b"',
}


@pytest.mark.parametrize("grammar", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_grammar_neither_ends_nor_hangs_the_worker(worker: WorkerProcess, grammar: str) -> None:
    replies = worker.answer("aaaa", temperature=0, max_tokens=12, grammar=grammar)
    last = replies[-1]
    assert last["type"] == "done" or (last["type"], last["code"]) == ("refused", "bad_grammar")


def test_what_a_caller_sends_after_its_request_is_ignored(worker: WorkerProcess) -> None:
    line = json.dumps({**GOOD, "options": {"max_tokens": 3}}).encode() + b"\n"
    with Call(worker.path).send(line + b"more\n" * 10_000) as call:
        assert list(call)[-1]["type"] == "done"
