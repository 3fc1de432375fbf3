"""Through daphne: whoever still sends reads why the box ends the connection, and keeps it for no longer than a moment."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import psutil
import pytest

from hostui.http.bodies import LONGEST_BODY_BYTES
from inference.web.chat.protocol import LONGEST_FRAME_BYTES
from inference.web.feeds.close_codes import CLOSE_SIGNED_OUT
from tests.closing import BLOCK, says_then_reads, sends_until_cut
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.live

LINGER_BYTES = 64 << 20
"""As in hostui.http.lingering_close, which brings Twisted along."""
BUFFERED_BYTES = 16 << 20
"""More than the kernel holds of one connection."""
MORE = (BLOCK,) * (2 * LONGEST_BODY_BYTES // len(BLOCK))
TOO_BIG = 1009
"""WebSocket's close code for a message that is too big."""


@contextmanager
def calling(stack: Stack) -> Iterator[socket.socket]:
    place = urlsplit(stack.url)
    with socket.create_connection((place.hostname, place.port), timeout=30) as caller:
        yield caller


def head(stack: Stack, line: bytes, *headers: bytes) -> bytes:
    host = urlsplit(stack.url).netloc.encode()
    return b"\r\n".join([line + b" HTTP/1.1", b"Host: " + host, *headers, b"", b""])


def upgrade(stack: Stack, *headers: bytes) -> bytes:
    return head(
        stack,
        b"GET /ws/chat/",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Origin: " + stack.url.encode(),
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *headers,
    )


def opened(caller: socket.socket, request: bytes) -> bytes:
    """What a WebSocket's server sent together with its consent."""
    caller.sendall(request)
    heard = b""
    while b"\r\n\r\n" not in heard:
        more = caller.recv(65_536)
        assert more, heard
        heard += more
    status, _, frames = heard.partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 101 ")
    return frames


def frame_of(n_bytes: int) -> bytes:
    """The beginning of a text frame that is masked with zeros, so that its payload reads as it is."""
    return b"\x81\xff" + n_bytes.to_bytes(8, "big") + bytes(4)


def close_code(frames: bytes) -> int | None:
    """Of the close frame among a server's frames."""
    while len(frames) >= 2:
        opcode, length = frames[0] & 0x0F, frames[1]
        start = 2 + {126: 2, 127: 8}.get(length, 0)
        if start > 2:
            length = int.from_bytes(frames[2:start], "big")
        if opcode == 8:
            return int.from_bytes(frames[start : start + 2], "big")
        frames = frames[start + length :]
    return None


@pytest.mark.parametrize(
    "length", [b"Content-Length: %d" % (10 << 30), b"Content-Length: %d\r\nExpect: 100-continue" % (10 << 30)]
)
def test_a_body_that_is_announced_as_too_long_is_refused(stack: Stack, length: bytes) -> None:
    with calling(stack) as caller:
        heard = says_then_reads(caller, head(stack, b"POST /login/", length), *MORE)
    assert heard.startswith(b"HTTP/1.1 413 ")
    assert heard.endswith(b"\r\n\r\nThe body is too large.")


def test_headers_without_end_are_refused(stack: Stack) -> None:
    with calling(stack) as caller:
        heard = says_then_reads(caller, head(stack, b"GET /")[:-2], b"X: y\r\n" * 1_000_000)
    assert heard.startswith(b"HTTP/1.1 400 ")


def test_a_program_without_a_key_reads_so_whatever_it_sends_after_its_request(stack: Stack) -> None:
    request = head(stack, b"POST /v1/chat/completions", b"Content-Length: 2", b"Connection: close") + b"{}"
    with calling(stack) as caller:
        heard = says_then_reads(caller, request, *MORE)
    assert heard.startswith(b"HTTP/1.1 401 ")
    assert json.loads(heard.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_api_key"


def test_a_frame_far_beyond_the_limit_ends_the_socket_with_a_close_code(stack: Stack) -> None:
    with closing(stack.login(stack.admin)) as client:
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    n_blocks = 32 * LONGEST_FRAME_BYTES // len(BLOCK)
    with calling(stack) as caller:
        frames = opened(caller, upgrade(stack, b"Cookie: " + cookie.encode()))
        frames += says_then_reads(caller, frame_of(n_blocks * len(BLOCK)), *[BLOCK] * n_blocks)
    assert close_code(frames) == TOO_BIG


def test_a_page_that_is_signed_out_learns_it_whatever_it_sends(stack: Stack) -> None:
    with calling(stack) as caller:
        frames = opened(caller, upgrade(stack))
        frames += says_then_reads(caller, frame_of(len(MORE) * len(BLOCK)), *MORE)
    assert close_code(frames) == CLOSE_SIGNED_OUT


def test_a_socket_of_another_site_is_refused(stack: Stack) -> None:
    request = upgrade(stack).replace(b"Origin: ", b"Origin: http://elsewhere.example/")
    with calling(stack) as caller:
        assert says_then_reads(caller, request, *MORE).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("length", [b"Content-Length: %d" % (10 << 30), b"Content-Length: 0\r\nConnection: close"])
def test_a_caller_who_never_stops_sending_is_cut(stack: Stack, length: bytes) -> None:
    with calling(stack) as caller:
        caller.sendall(head(stack, b"POST /login/", length))
        assert sends_until_cut(caller) < LINGER_BYTES + BUFFERED_BYTES


def test_a_caller_who_stays_is_closed_after_a_while(stack: Stack) -> None:
    with calling(stack) as caller:
        says_then_reads(caller, head(stack, b"POST /login/", b"Content-Length: %d" % (10 << 30)))
        _, port = caller.getsockname()
        web = psutil.Process(stack.pid("web"))
        wait_for(lambda: port not in {each.raddr.port for each in web.net_connections() if each.raddr}, "the end")
