"""Through daphne, which would keep it on the disk before anybody looks at who sends it."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from hostui.http.bodies import LONGEST_BODY_BYTES
from tests.closing import BLOCK, says_then_reads
from tests.stack import Stack

pytestmark = pytest.mark.live


def answer_to(stack: Stack, headers: bytes, blocks: int, frame: bytes = b"%s") -> bytes:
    """What comes back until the box ends the connection."""
    place = urlsplit(stack.url)
    with socket.create_connection((place.hostname, place.port), timeout=30) as caller:
        caller.sendall(b"POST /login/ HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (place.netloc.encode(), headers))
        return says_then_reads(caller, *[frame % BLOCK] * blocks)


def test_that_says_so_is_refused_before_it_comes(stack: Stack) -> None:
    heard = answer_to(stack, b"Content-Length: %d\r\n" % (10 << 30), blocks=0)
    assert heard.startswith(b"HTTP/1.1 413 ")
    assert heard.endswith(b"The body is too large.")


def test_that_does_not_say_so_ends_where_it_is_too_long(stack: Stack) -> None:
    chunks = LONGEST_BODY_BYTES // len(BLOCK)
    frame = b"%x\r\n%%s\r\n" % len(BLOCK)
    heard = answer_to(stack, b"Transfer-Encoding: chunked\r\n", 2 * chunks, frame)
    assert heard.startswith(b"HTTP/1.1 413 ")
    assert heard.endswith(b"The body is too large.")


def test_an_ordinary_one_is_read(stack: Stack) -> None:
    heard = answer_to(stack, b"Content-Length: %d\r\nConnection: close\r\n" % (4 * len(BLOCK)), blocks=4)
    assert heard.startswith(b"HTTP/1.1 403 ")
