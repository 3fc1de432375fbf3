from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User

from inference.models import Conversation
from inference.web.chat.protocol import LONGEST_FRAME_BYTES
from inference.web.feeds.close_codes import CLOSE_TOO_LARGE
from models_app.models import Variant
from tests.web.fake_host import FakeHost
from tests.web.tab import OpenTab

ID = "5a0f8f6e-4c1c-4d8e-9d3b-2f0a4c6b7e11"
"""Of nobody. The same in every process, because it stands in the names of tests."""
SEND: dict[str, Any] = {"type": "send", "nonce": "n", "conversation": None, "parent": None, "text": "Hi", "variant": 1}

BAD_TEXTS = [
    "",
    "no JSON",
    "[]",
    '"send"',
    "null",
    "{}",
    '{"type": 5}',
    "[" * 100_000,
    '{"type": "open", "conversation": ' + "9" * 5000 + "}",
    '{"type": "rename", "conversation": "' + ID + '", "title": "a\\u0000b"}',
    '{"type": "rename", "conversation": "' + ID + '", "title": "a\\ud800b"}',
]
BAD_MESSAGES: list[dict[str, Any]] = [
    {"type": "nonsense"},
    {"type": "connect"},
    {"type": "chat.changed", "conversation": None, "origin": None},
    {"type": "open"},
    {"type": "open", "conversation": "not an id"},
    {"type": "open", "conversation": 7},
    {"type": "open", "conversation": "x" * 100_000},
    {"type": "stop", "message": None},
    {"type": "branch", "message": ["a"]},
    {"type": "rename", "conversation": ID, "title": ""},
    {"type": "rename", "conversation": ID, "title": "   "},
    {"type": "rename", "conversation": ID, "title": "x" * 201},
    {"type": "delete", "conversation": {}},
    {**SEND, "nonce": ""},
    {**SEND, "nonce": "n" * 65},
    {**SEND, "text": ""},
    {**SEND, "text": " \n"},
    {**SEND, "text": 5},
    {**SEND, "text": None},
    {**SEND, "variant": "1"},
    {**SEND, "variant": True},
    {**SEND, "variant": -1},
    {**SEND, "variant": 1.5},
    {**SEND, "variant": 2**63},
    {**SEND, "parent": ID},
    {**SEND, "parent": "x"},
    {**SEND, "system_prompt": 5},
    {**SEND, "options": []},
    {"type": "regenerate", "nonce": "n", "message": "x", "variant": 1},
]
BAD_OPTIONS: list[dict[str, Any]] = [
    {"temperature": 9},
    {"temperature": -0.1},
    {"temperature": "hot"},
    {"temperature": True},
    {"temperature": float("nan")},
    {"temperature": 10**400},
    {"top_k": 1.5},
    {"top_p": 2},
    {"min_p": -1},
    {"seed": 2**32},
    {"max_tokens": 0},
    {"max_tokens": 10**9},
    {"repeat_penalty": 0},
    {"presence_penalty": 3},
    {"stop": [""]},
    {"stop": ["x"] * 17},
    {"stop": 5},
    {"logit_bias": {"a": 1}},
    {"logit_bias": {"1": 101}},
    {"json_schema": 5},
    {"json_schema": {}, "grammar": 'root ::= "a"'},
    {"n_gpu_layers": 99},
]


@pytest.mark.parametrize("text", BAD_TEXTS)
async def test_a_frame_that_is_no_message_is_refused_and_the_socket_stays(
    open_tab: OpenTab, alice: User, text: str
) -> None:
    tab = await open_tab(alice)
    await tab.say_text(text)
    refused = await tab.hear("error")
    assert refused["code"] == "bad_message"
    assert refused["detail"].endswith(".")
    await tab.say(type="open", conversation=ID)
    assert (await tab.hear("error"))["code"] == "not_found"


async def test_wrong_fields_are_refused_one_by_one_and_the_socket_stays(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    for message in BAD_MESSAGES:
        await tab.say(**message)
        refused = await tab.hear("error")
        assert refused["code"] == "bad_message", message
        nonce = message.get("nonce")
        assert refused["nonce"] == (nonce if nonce is not None and len(nonce) <= 64 else None), message
    assert not await Conversation.objects.aexists()
    await tab.send("Hi", variant.pk)
    await host.lease()


async def test_parameters_out_of_range_are_refused_by_name(open_tab: OpenTab, alice: User, variant: Variant) -> None:
    tab = await open_tab(alice)
    for options in BAD_OPTIONS:
        await tab.ask("Hi", variant.pk, options=options)
        refused = await tab.hear("error")
        assert (refused["code"], refused["nonce"]) == ("bad_parameter", "n1"), options
        assert any(name in refused["detail"] for name in options)
        assert len(refused["detail"]) < 300
    assert not await Conversation.objects.aexists()


async def test_a_binary_frame_is_refused(open_tab: OpenTab, alice: User) -> None:
    tab = await open_tab(alice)
    await tab.say_bytes(json.dumps(SEND).encode())
    assert (await tab.hear("error"))["code"] == "bad_message"


@pytest.mark.parametrize("character", ["x", "é"])
async def test_too_large_a_frame_is_refused_and_ends_the_socket(open_tab: OpenTab, alice: User, character: str) -> None:
    tab = await open_tab(alice)
    n_bytes = len(character.encode())
    await tab.say_text(character * (LONGEST_FRAME_BYTES // n_bytes + 1))
    assert (await tab.hear("error"))["code"] == "too_large"
    assert await tab.closed() == CLOSE_TOO_LARGE


async def test_a_variant_that_is_not_offered_is_refused(open_tab: OpenTab, alice: User, variant: Variant) -> None:
    tab = await open_tab(alice)
    await tab.ask("Hi", variant.pk + 1000)
    refused = await tab.hear("error")
    assert (refused["code"], refused["nonce"]) == ("no_variant", "n1")
    variant.enabled = False
    await variant.asave()
    await tab.ask("Hi", variant.pk)
    assert (await tab.hear("error"))["code"] == "no_variant"
    assert not await Conversation.objects.aexists()


async def test_a_refused_question_gives_its_place_in_the_queue_back(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    await tab.ask("Hi", variant.pk, conversation=ID)
    assert (await tab.hear("error"))["code"] == "not_found"
    # Whether it was asked for at all depends on who was faster; what counts is that nothing is held.
    await tab.send("Hi", variant.pk, "n2")
    lease = await host.take("lease")
    if lease.request["request_id"] != (await tab.hear("conversation"))["messages"][1]["id"]:
        await lease.hung_up()
        lease = await host.take("lease")
    await lease.say(host.ready())
    await host.worker.take("generate")
