"""Whoever still sends reads its last message whole, and is neither waited for nor counted."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from inference.engine import protocol
from inference.engine.lingering_close import LINGER_BYTES
from tests.closing import BLOCK, is_closed_in_the_end, says_then_reads, sends_until_cut
from tests.host.cast import Box

MORE = (BLOCK,) * 256
BUFFERED_BYTES = 8 * 1024 * 1024
"""More than the kernel and asyncio hold of one connection."""
LEASE = {"type": "lease", "variant_id": 1, "user": "ann", "kind": "interactive", "request_id": "r"}


@contextmanager
def calling(box: Box) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(box.socket)
        yield caller


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"type": "', "bad_message"),
        (b"not json\n", "bad_message"),
        (protocol.encode(LEASE), "does_not_fit"),
        (protocol.encode({**LEASE, "variant_id": 7}), "unknown_variant"),
        (protocol.encode({**LEASE, "variant_id": 2}), "disabled"),
        (protocol.encode({"type": "load", "variant_id": 1, "anyway": False}), "does_not_fit"),
    ],
)
async def test_a_refusal_arrives_at_a_caller_who_sends_on(box: Box, line: bytes, code: str) -> None:
    box.add("large", size_bytes=5000)
    box.inventory.disabled.add(box.add("off"))
    with calling(box) as caller:
        heard = await asyncio.to_thread(says_then_reads, caller, line, *MORE)
    last: dict[str, Any] = json.loads(heard.splitlines()[-1])
    assert (last["type"], last["refusal"]["kind"]) == ("refused", code)


@pytest.mark.parametrize("line", [b"not json\n", protocol.encode({**LEASE, "variant_id": 7})])
async def test_a_caller_who_never_stops_sending_is_cut(box: Box, line: bytes) -> None:
    with calling(box) as caller:
        caller.sendall(line)
        assert await asyncio.to_thread(sends_until_cut, caller) < LINGER_BYTES + BUFFERED_BYTES


async def test_a_caller_who_stays_after_its_refusal_is_in_no_queue_and_closed_after_a_while(box: Box) -> None:
    large = box.add("large", size_bytes=5000)
    with calling(box) as caller:
        heard = await asyncio.to_thread(says_then_reads, caller, protocol.encode({**LEASE, "variant_id": large}))
        assert json.loads(heard.splitlines()[-1])["refusal"]["kind"] == "does_not_fit"
        assert (await box.client.status())["queue"] == []
        assert await asyncio.to_thread(is_closed_in_the_end, caller)
