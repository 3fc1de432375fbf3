from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient

from inference.core.scheduling.refusals import (
    DoesNotFit,
    FailedToLoad,
    Refusal,
    ShuttingDown,
    UnloadedMeanwhile,
    VariantDisabled,
    VariantUnknown,
)
from models_app.models import Variant
from tests.web.fake_host import FakeHost, refused
from tests.web.program import HELLO, Program

CHAT = "chat/completions"
TEXT = [{"role": "user", "content": "Hi"}]
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]

BAD: list[tuple[dict[str, Any], str | None]] = [
    ({"model": None}, "model"),
    ({"model": 5}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": ["Hi"]}, "messages"),
    ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages"),
    ({"messages": [{"role": "user"}]}, "messages"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages"),
    ({"messages": [{"role": "user", "content": "a\0b"}]}, "messages"),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages"),
    ({"messages": [{"role": "tool", "content": "5", "tool_call_id": "1"}]}, "messages"),
    ({"messages": IMAGE}, "messages"),
    ({"temperature": 6}, "temperature"),
    ({"temperature": "1"}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_completion_tokens": -5}, "max_completion_tokens"),
    ({"seed": 1.5}, "seed"),
    ({"stop": [5]}, "stop"),
    ({"logit_bias": {"x": 1}}, "logit_bias"),
    ({"presence_penalty": 10**400}, "presence_penalty"),
    ({"n": 2}, "n"),
    ({"n": True}, "n"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": []}, "stream_options"),
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"functions": [{}]}, "functions"),
    ({"logprobs": True}, "logprobs"),
    ({"modalities": ["audio"]}, "modalities"),
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {"type": "xml"}}, "response_format"),
    ({"response_format": {"type": "json_schema"}}, "response_format"),
    ({"response_format": {"type": "json_object"}, "grammar": 'root ::= "a"'}, "response_format"),
    ({"temprature": 1}, "temprature"),
]


async def test_what_is_wrong_is_named(host: FakeHost, alice: User, variant: Variant) -> None:
    program = await Program.of(alice)
    for fields, param in BAD:
        response = await program.post(CHAT, {**HELLO, **fields})
        assert response.status_code == 400, fields
        error = response.json()["error"]
        assert (error["param"], error["type"]) == (param, "invalid_request_error"), fields
        assert error["message"].endswith((".", "numbers")) or param in error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 100_000, b"\xff", b'"x"'])
async def test_a_body_that_is_no_object_is_refused(host: FakeHost, alice: User, variant: Variant, body: bytes) -> None:
    response = await (await Program.of(alice)).post(CHAT, body)
    assert response.status_code == 400
    assert "JSON" in response.json()["error"]["message"]


async def test_what_asks_for_nothing_is_no_error(host: FakeHost, alice: User, variant: Variant) -> None:
    program = await Program.of(alice)
    answer = program.ask(
        tools=[], tool_choice="none", logprobs=False, n=1, temperature=None, user="x", metadata={}, stop=None
    )
    _lease, generation = await host.lease()
    await generation.done(0)
    assert (await answer).status_code == 200


async def test_parts_of_text_are_one_text(host: FakeHost, alice: User, variant: Variant) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": None},
        {"role": "user", "content": parts, "name": "Al"},
    ]
    (await Program.of(alice)).ask(messages=messages)
    _lease, generation = await host.lease()
    assert generation.request["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "ab", "name": "Al"},
    ]


HOST_SAYS: list[tuple[Refusal, str, int, str, str | None, str | None]] = [
    (VariantUnknown(), "There is no such model", 404, "model_not_found", None, None),
    (VariantDisabled(1), "smol is switched off", 404, "model_not_found", None, None),
    (
        DoesNotFit("ram", 2 << 30, 1 << 30, device_name="RAM"),
        "smol needs at least 2 GiB in RAM",
        503,
        "does_not_fit",
        None,
        "false",
    ),
    (
        FailedToLoad("bad_file", "It ends early."),
        "smol could not be loaded. It ends early.",
        503,
        "failed",
        None,
        "false",
    ),
    (UnloadedMeanwhile(), "smol was unloaded while you waited", 503, "unloaded", "5", None),
    (ShuttingDown(), "The host is shutting down", 503, "shutting_down", "5", None),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("refusal", "said", "status", "code", "retry_after", "should_retry"), HOST_SAYS)
async def test_what_the_host_refuses(
    host: FakeHost,
    alice: User,
    variant: Variant,
    stream: bool,
    refusal: Refusal,
    said: str,
    status: int,
    code: str,
    retry_after: str | None,
    should_retry: str | None,
) -> None:
    answer = (await Program.of(alice)).ask(stream=stream)
    lease = await host.take("lease")
    await lease.say(refused(refusal))
    response = await answer
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert error["message"].startswith(said)
    assert (response.get("Retry-After"), response.get("X-Should-Retry")) == (retry_after, should_retry)


@pytest.mark.parametrize("stream", [False, True])
async def test_too_long_a_prompt_names_both_numbers(
    host: FakeHost, alice: User, variant: Variant, stream: bool
) -> None:
    answer = (await Program.of(alice)).ask(stream=stream)
    _lease, generation = await host.lease()
    facts = {"n_prompt": 5000, "n_ctx_seq": 4096}
    await generation.say({"type": "refused", "code": "context_exceeded", "detail": "Too long.", "facts": facts})
    response = await answer
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", "messages")
    assert "5000" in error["message"]
    assert "4096" in error["message"]


async def test_a_lost_worker_is_not_asked_again_by_the_client(host: FakeHost, alice: User, variant: Variant) -> None:
    answer = (await Program.of(alice)).ask()
    _lease, generation = await host.lease()
    await generation.token(1, "Hi")
    generation.drop()
    response = await answer
    assert (response.status_code, response.json()["error"]["code"]) == (500, "worker_lost")
    assert response["X-Should-Retry"] == "false"


async def test_without_a_host_it_is_soon(host: FakeHost, alice: User, variant: Variant) -> None:
    await host.stop()
    response = await (await Program.of(alice)).post(CHAT, HELLO)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert response.json()["error"]["code"] == "host_unavailable"


async def test_a_chat_with_a_model_without_a_template_is_refused(host: FakeHost, alice: User, variant: Variant) -> None:
    answer = (await Program.of(alice)).ask()
    lease = await host.take("lease")
    await lease.say(host.ready("completion"))
    response = await answer
    assert response.status_code == 400
    assert "/v1/completions" in response.json()["error"]["message"]


async def test_an_unknown_model_path_or_method(host: FakeHost, alice: User, variant: Variant) -> None:
    program = await Program.of(alice)
    response = await program.post(CHAT, {**HELLO, "model": "gpt-9"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    response = await program.get(CHAT)
    assert (response.status_code, response["Allow"]) == (405, "POST")
    response = await program.post("nowhere", {})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


async def test_without_a_key_nothing_is_answered_whatever_the_cookie_says(
    host: FakeHost, alice: User, variant: Variant
) -> None:
    client = AsyncClient(enforce_csrf_checks=True)
    await client.aforce_login(alice)
    for headers in ({}, {"Authorization": "Bearer hostui-wrong"}, {"Authorization": "Basic YTpi"}):
        response = await client.post(f"/v1/{CHAT}", HELLO, content_type="application/json", headers=headers)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "invalid_api_key"
        assert (await client.get("/v1/models", headers=headers)).status_code == 401
