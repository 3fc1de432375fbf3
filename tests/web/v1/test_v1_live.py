"""/v1 for real: the unmodified openai client, daphne, a host, a worker and the starter model."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from inference.host.api.client import HostClient
from tests.live.tab import tab
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.live

LONG = {"max_tokens": 3500, "temperature": 1.0, "logit_bias": {"0": -100, "2": -100}}
"""Half a minute of text at least: the ends of text and of turn are banned."""


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    return stack.create_key(stack.admin)


@pytest.fixture
def client(stack: Stack, key: str) -> Iterator[openai.OpenAI]:
    with (
        httpx.Client(trust_env=False, timeout=120) as transport,
        openai.OpenAI(base_url=f"{stack.url}/v1", api_key=key, http_client=transport, max_retries=0) as client,
    ):
        yield client


def starter(client: openai.OpenAI) -> str:
    return client.models.list().data[0].id


def busy(stack: Stack) -> tuple[int, int]:
    """Leases and busy slots, of all variants together."""
    status = asyncio.run(HostClient(str(stack.data_dir / "run" / "host.sock")).status())
    return (
        sum(resident["leases"] for resident in status["residents"]),
        sum(resident["slots_busy"] for resident in status["residents"]),
    )


def test_the_openai_client_gets_a_whole_answer(client: openai.OpenAI) -> None:
    model = starter(client)
    assert client.models.retrieve(model).id == model
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "What is the capital of France? One word."}],
        temperature=0,
        max_completion_tokens=20,
    )
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 20
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_openai_client_streams_the_same_answer(client: openai.OpenAI) -> None:
    request: dict[str, Any] = {
        "model": starter(client),
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "temperature": 0,
        "max_tokens": 30,
    }
    # The first answer evaluates the prompt in chunks, later ones reuse it: sums of floats differ in their last bits, and where
    # two tokens are as good as equal, so do the words. Both answers that are compared reuse the same cache.
    client.chat.completions.create(**request)
    whole = client.chat.completions.create(**request)
    chunks = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert len(chunks) > 5
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_the_openai_client_gets_json_in_the_shape_it_asked_for(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "sunny": {"type": "boolean"}},
        "required": ["city", "sunny"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model=starter(client),
        messages=[{"role": "user", "content": "The weather in Paris?"}],
        response_format={"type": "json_schema", "json_schema": {"name": "weather", "schema": schema}},
        max_tokens=100,
    )
    found = json.loads(answer.choices[0].message.content or "")
    assert isinstance(found["city"], str)
    assert isinstance(found["sunny"], bool)


def test_the_openai_client_reads_the_errors(stack: Stack, client: openai.OpenAI) -> None:
    model = starter(client)
    with pytest.raises(openai.NotFoundError, match="gpt-9"):
        client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "Hi"}])
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "word " * 9000}])
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="hostui-wrong").models.list()


def test_a_client_that_hangs_up_in_the_middle_of_a_stream_frees_its_slot(stack: Stack, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=starter(client), messages=[{"role": "user", "content": "Tell a story."}], stream=True, extra_body=LONG
    )
    heard = [next(stream) for _ in range(5)]
    assert heard[-1].choices[0].finish_reason is None
    assert busy(stack)[0] == 1
    stream.close()
    wait_for(lambda: busy(stack) == (0, 0), "the slot to be free", 5)


def test_a_client_that_hangs_up_while_it_waits_for_the_whole_frees_its_slot(
    stack: Stack, client: openai.OpenAI, key: str
) -> None:
    body = json.dumps({"model": starter(client), "messages": [{"role": "user", "content": "A story."}], **LONG})
    with socket.create_connection(("127.0.0.1", stack.port)) as connection:
        connection.sendall(
            (
                f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{stack.port}\r\n"
                f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )
        wait_for(lambda: busy(stack)[1] == 1, "the request to get a slot", 60)
    wait_for(lambda: busy(stack) == (0, 0), "the slot to be free", 5)


def test_what_a_person_said_at_the_page_is_reused_for_their_programs_and_for_nobody_elses(
    stack: Stack, client: openai.OpenAI
) -> None:
    said = "The vault's number is 4711; the vault's colour is green. " * 12
    model = starter(client)
    with tab(stack, stack.admin) as page:
        ending = page.final(page.say(said, max_tokens=1))
    n_prompt = ending["timings"]["prompt_n"] + ending["timings"]["cache_n"]

    def cached(person: openai.OpenAI) -> int:
        messages: Any = [{"role": "user", "content": said}]
        answer = person.chat.completions.create(model=model, messages=messages, max_completion_tokens=1)
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == n_prompt
        assert answer.usage.prompt_tokens_details is not None
        return answer.usage.prompt_tokens_details.cached_tokens or 0

    stranger = client.with_options(api_key=stack.create_key(stack.new_user("stranger")))
    assert cached(stranger) == 0
    # A worker evaluates a prompt's last token anew, to have something to go on with.
    assert cached(client) == n_prompt - 1
