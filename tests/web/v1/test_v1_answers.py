from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import User

from inference.core.scheduling.reasons import Reason
from inference.core.scheduling.refusals import DoesNotFit
from inference.web.v1 import views
from models_app.models import Variant
from tests.web.fake_host import FakeHost, refused
from tests.web.program import Program, events


async def test_models_lists_what_is_offered(host: FakeHost, alice: User, variant: Variant) -> None:
    program = await Program.of(alice)
    await Variant.objects.acreate(repository_id=variant.repository_id, name="org/off", enabled=False)
    await Variant.objects.acreate(repository_id=variant.repository_id, name="org/on Q4")
    listed = (await program.get("models")).json()
    assert listed["object"] == "list"
    assert [each["id"] for each in listed["data"]] == ["org/on Q4", "smol"]
    (one,) = [each for each in listed["data"] if each["id"] == "smol"]
    assert one == (await program.get("models/smol")).json()
    assert (one["object"], one["owned_by"]) == ("model", "local")
    assert one["created"] == int(variant.created_at.timestamp())
    assert (await program.get("models/org/on%20Q4")).json()["id"] == "org/on Q4"
    assert (await program.get("models/org/off")).status_code == 404


async def test_a_whole_answer(host: FakeHost, alice: User, variant: Variant) -> None:
    program = await Program.of(alice)
    answer = program.ask(max_completion_tokens=7, temperature=0, stop="END", seed=-1, top_k=5, user="me")
    lease, generation = await host.lease()
    assert (lease.request["variant_id"], lease.request["user"]) == (variant.pk, str(alice.pk))
    asked = generation.request
    assert asked["messages"] == [{"role": "user", "content": "Hello"}]
    assert asked["owner"] == str(alice.pk)
    assert {name: asked["options"][name] for name in ("max_tokens", "temperature", "stop", "seed", "top_k")} == {
        "max_tokens": 7,
        "temperature": 0,
        "stop": ["END"],
        "seed": 2**32 - 2,
        "top_k": 5,
    }
    await generation.token(1, "Hm.", reasoning=True)
    await generation.token(2, "Hi ")
    await generation.token(3, "there")
    await generation.done(3, "length")
    response = await answer
    assert response.status_code == 200
    assert response["X-Request-Id"] == asked["request_id"]
    body = response.json()
    assert body["id"] == "chatcmpl-" + asked["request_id"]
    (choice,) = body["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "length")
    assert (choice["message"]["content"], choice["message"]["reasoning_content"]) == ("Hi there", "Hm.")
    assert body["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 3,
        "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    await lease.hung_up()


async def test_a_streamed_answer(host: FakeHost, alice: User, variant: Variant) -> None:
    program = await Program.of(alice)
    answer = program.ask(stream=True, stream_options={"include_usage": True})
    lease, generation = await host.lease()
    await generation.say({"type": "prefill", "done": 5, "total": 5, "cached": 0})
    response = await answer
    assert response["X-Accel-Buffering"] == "no"
    heard = events(response)
    opening = await heard.__anext__()
    assert opening["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    await generation.token(1, "Hm", reasoning=True)
    assert (await heard.__anext__())["choices"][0]["delta"] == {"reasoning_content": "Hm"}
    await generation.token(2, "Hi")
    assert (await heard.__anext__())["choices"][0]["delta"] == {"content": "Hi"}
    await generation.done(2)
    last, usage, end = [each async for each in heard]
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    assert (last["usage"], usage["choices"], usage["usage"]["total_tokens"]) == (None, [], 7)
    assert end == "[DONE]"
    assert len({each["id"] for each in (opening, last, usage)}) == 1
    await lease.hung_up()


async def test_a_plain_completion(host: FakeHost, alice: User, variant: Variant) -> None:
    program = await Program.of(alice)
    answer = program.ask("completions", model="smol", prompt="Once")
    _lease, generation = await host.lease(mode="completion")
    assert generation.request["prompt"] == "Once"
    assert "messages" not in generation.request
    await generation.token(1, " upon")
    await generation.done(1)
    body = (await answer).json()
    assert (body["object"], body["choices"][0]["text"]) == ("text_completion", " upon")

    answer = program.ask("completions", model="smol", prompt=["Once"], stream=True)
    _lease, generation = await host.lease()
    await generation.token(1, " more")
    await generation.done(1)
    chunks = [each async for each in events(await answer)]
    assert [each["choices"][0]["text"] for each in chunks[:-1]] == [" more", ""]


async def test_a_schema_reaches_the_worker(host: FakeHost, alice: User, variant: Variant) -> None:
    program = await Program.of(alice)
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    formats: list[tuple[Any, Any]] = [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}, schema),
    ]
    for wanted, told in formats:
        answer = program.ask(response_format=wanted)
        _lease, generation = await host.lease()
        assert generation.request["options"]["json_schema"] == told
        await generation.done(0)
        assert (await answer).status_code == 200


async def test_a_long_wait_starts_the_stream_and_keeps_it_alive(
    host: FakeHost, alice: User, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "HEADER_SECONDS", 0.05)
    monkeypatch.setattr(views, "KEEP_ALIVE_SECONDS", 0.05)
    program = await Program.of(alice)
    answer = program.ask(stream=True)
    lease = await host.take("lease")
    await lease.say({"type": "queued", "position": 1, "reason": Reason("behind")})
    heard = events(await answer)
    assert (await heard.__anext__())["choices"][0]["delta"]["role"] == "assistant"
    assert (await heard.__anext__()).startswith(":")
    await lease.say(refused(DoesNotFit("ram", 2, 1, device_name="RAM")))
    rest = [each async for each in heard if not isinstance(each, str) or not each.startswith(":")]
    assert rest[0]["error"]["code"] == "does_not_fit"
    assert rest[1:] == ["[DONE]"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_is_given_up_frees_its_slot(
    host: FakeHost, alice: User, variant: Variant, stream: bool
) -> None:
    program = await Program.of(alice)
    answer = program.ask(stream=stream)
    lease, generation = await host.lease()
    answer.cancel()
    await generation.hung_up()
    await lease.hung_up()
    with pytest.raises(asyncio.CancelledError):
        await answer


async def test_a_stream_that_is_given_up_in_the_middle_frees_its_slot(
    host: FakeHost, alice: User, variant: Variant
) -> None:
    program = await Program.of(alice)
    answer = program.ask(stream=True)
    lease, generation = await host.lease()
    await generation.token(1, "Hi")
    heard = events(await answer)
    await heard.__anext__()

    async def rest() -> None:
        async for _ in heard:
            pass

    reading = asyncio.create_task(rest())
    await generation.token(2, " there")
    await asyncio.sleep(0)
    reading.cancel()
    await generation.hung_up()
    await lease.hung_up()
