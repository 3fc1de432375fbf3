"""Redis is down: people come in, chat and begin jobs all the same, guessing passwords stays slow, and what waited goes on after."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from hostui.accounts.throttle import FAILURES_PER_NAME
from hostui.http.channel_layer import SharedLayer
from tests.shared.servers import running_redis, why_none
from tests.stack import Account, Stack, csrf_token, free_port, running_stack, wait_for

pytestmark = [pytest.mark.live, pytest.mark.skipif(why_none() is not None, reason=why_none() or "")]


class Redis:
    """One that can be stopped and started."""

    def __init__(self) -> None:
        self._port = free_port()
        self._running = ExitStack()
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        self._running.enter_context(running_redis(self._port))

    def stop(self) -> None:
        self._running.close()


@pytest.fixture
def redis() -> Iterator[Redis]:
    server = Redis()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def box(redis: Redis) -> Iterator[Stack]:
    with running_stack(HOSTUI_REDIS_URL=redis.url) as running:
        yield running


def attempt(box: Stack, account: Account) -> httpx.Response:
    with httpx.Client(base_url=box.url, trust_env=False, timeout=30) as client:
        form = {
            "csrfmiddlewaretoken": csrf_token(client.get("/login/").text),
            "username": account.username,
            "password": account.password,
        }
        return client.post("/login/", data=form, headers={"Origin": box.url})


def chat_socket(box: Stack, client: httpx.Client) -> ClientConnection:
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    address = f"ws://127.0.0.1:{box.port}/ws/chat/"
    return connect(address, additional_headers={"Cookie": cookies, "Origin": box.url})


def heard(socket: ClientConnection, kind: str) -> dict[str, object]:
    while True:
        frame: dict[str, object] = json.loads(socket.recv(60))
        if frame["type"] == kind:
            return frame


def test_people_come_in_chat_and_begin_jobs_while_redis_is_down(box: Stack, redis: Redis) -> None:
    redis_was_up = box.login(box.admin)
    redis_was_up.close()
    redis.stop()
    with closing(box.login(box.admin)) as client:
        for page in ("/", "/chat/", "/models/", "/hardware/", "/jobs/", "/admin/", "/metrics"):
            assert client.get(page).status_code == 200, page
        with chat_socket(box, client) as one, chat_socket(box, client) as other:
            heard(other, "conversations")
            variant = next(iter(heard(one, "variants")["rows"]))  # type: ignore[call-overload]
            one.send(
                json.dumps(
                    {
                        "type": "send",
                        "nonce": "n",
                        "variant": variant["id"],
                        "text": "Say hello.",
                        "options": {"max_tokens": 8},
                    }
                )
            )
            assert heard(one, "final")["view"]["content"]  # type: ignore[index]
            assert heard(other, "conversations")["rows"]
        answer = client.post(
            f"/models/{variant['name']}/verify/",
            data={"csrfmiddlewaretoken": csrf_token(client.get("/models/").text)},
            headers={"Origin": box.url},
        )
        assert answer.status_code == 302
        wait_for(lambda: "HOSTUI_REDIS_URL" in client.get("/jobs/").text, "the page to say what is down", 40)
        redis.start()
        wait_for(lambda: client.get("/jobs/").text.count("Done"), "the job to be done", 60)


def test_guessing_passwords_is_slow_while_redis_is_down(box: Stack, redis: Redis) -> None:
    admin = box.admin
    wrong = Account(admin.username, "wrong")
    for _ in range(FAILURES_PER_NAME - 1):
        attempt(box, wrong)
    redis.stop()
    assert "Too many" in attempt(box, wrong).text
    assert "Too many" in attempt(box, admin).text


def test_processes_hear_each_other_again_when_redis_is_back(redis: Redis) -> None:
    async def tell() -> object:
        here, there = SharedLayer(redis.url), SharedLayer(redis.url)
        channels = [(layer, await layer.new_channel()) for layer in (here, there)]
        for layer, channel in channels:
            await layer.group_add("user.1", channel)
        try:
            await asyncio.to_thread(redis.stop)
            await asyncio.to_thread(redis.start)
            hearing = asyncio.create_task(there.receive(channels[1][1]))
            while not hearing.done():
                await here.group_send("user.1", {"type": "chat.changed"})
                await asyncio.wait([hearing], timeout=0.2)
            return hearing.result()
        finally:
            await here.close()
            await there.close()

    assert asyncio.run(asyncio.wait_for(tell(), 30)) == {"type": "chat.changed"}
