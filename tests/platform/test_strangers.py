"""What somebody on the LAN can do to the running box without an account: nothing."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing

import httpx
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.stack import Stack

pytestmark = pytest.mark.live

LONG_BYTES = 10 * 1024 * 1024


def cookie(stack: Stack) -> str:
    with closing(stack.login(stack.admin)) as client:
        return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


async def handshake(stack: Stack, path: str = "/ws/chat/", **headers: str) -> int:
    """The status of the answer to a WebSocket handshake; 101 is success."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    lines = {
        "Host": f"127.0.0.1:{stack.port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        **headers,
    }
    writer.write(f"GET {path} HTTP/1.1\r\n".encode())
    writer.write("".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode() + b"\r\n")
    try:
        return int((await asyncio.wait_for(reader.readline(), 20)).split()[1])
    finally:
        writer.close()
        await writer.wait_closed()


async def test_only_our_own_pages_open_a_socket(stack: Stack) -> None:
    session = await asyncio.to_thread(cookie, stack)
    assert await handshake(stack, Cookie=session, Origin=stack.url) == 101
    assert await handshake(stack, Cookie=session, Origin="http://evil.example") == 403
    assert await handshake(stack, Cookie=session, Origin=f"http://127.0.0.1:{stack.port + 1}") == 403
    assert await handshake(stack, Cookie=session) == 403
    assert await handshake(stack, path="/ws/nowhere/", Cookie=session, Origin=stack.url) == 403


async def test_a_socket_under_a_rebound_name_is_refused(stack: Stack) -> None:
    """A page of evil.example whose name now points here: Host and Origin agree, and are both not ours."""
    session = await asyncio.to_thread(cookie, stack)
    host = f"evil.example:{stack.port}"
    assert await handshake(stack, Cookie=session, Host=host, Origin=f"http://{host}") == 403


def test_a_page_under_a_rebound_name_is_refused(stack: Stack) -> None:
    for path in ("/", "/login/", "/healthz", "/v1/models", "/admin/"):
        answer = httpx.get(f"{stack.url}{path}", headers={"Host": f"evil.example:{stack.port}"}, trust_env=False)
        assert answer.status_code == 400, path


async def send_and_listen(socket_: ClientConnection, text: str) -> None:
    """Ends with ConnectionClosed when the box ends the socket."""
    await socket_.send(text)
    while True:
        await asyncio.wait_for(socket_.recv(), 20)


async def test_a_10_mb_message_ends_its_socket_and_is_not_kept_in_memory(stack: Stack) -> None:
    session = await asyncio.to_thread(cookie, stack)
    web = psutil.Process(stack.pid("web"))
    before = web.memory_info().rss
    for _ in range(8):
        # Not `async with`: the box ends it, and asyncio's transport, still full when it began to close, cannot be aborted after that.
        socket_ = await connect(
            f"ws://127.0.0.1:{stack.port}/ws/chat/",
            origin=stack.url,  # type: ignore[arg-type]
            additional_headers={"Cookie": session},
            proxy=None,
            max_size=None,
        )
        with pytest.raises(ConnectionClosed):
            await send_and_listen(socket_, "x" * LONG_BYTES)
        await socket_.wait_closed()
    assert web.memory_info().rss - before < LONG_BYTES
    assert stack.pid("web") == web.pid


def test_connections_that_say_nothing_do_not_keep_others_out(stack: Stack) -> None:
    silent = [socket.create_connection(("127.0.0.1", stack.port)) for _ in range(200)]
    try:
        assert httpx.get(f"{stack.url}/healthz", trust_env=False, timeout=20).status_code == 200
    finally:
        for each in silent:
            each.close()


def test_a_program_with_a_key_is_let_in(stack: Stack) -> None:
    key = stack.create_key(stack.admin)
    answer = httpx.get(f"{stack.url}/v1/models", headers={"Authorization": f"Bearer {key}"}, trust_env=False)
    assert answer.status_code == 200
    assert [model["id"] for model in answer.json()["data"]]


def test_the_printed_claim_works_once(stack: Stack) -> None:
    link = stack.claim_link
    assert stack.admin.username
    assert httpx.get(link, trust_env=False).status_code == 410
