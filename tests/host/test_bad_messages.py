"""Whatever comes in on the socket, the caller gets a sentence and the host lives."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from inference.engine import protocol
from tests.host.cast import DEADLINE_SECONDS, Box, ready

LEASE = {"type": "lease", "variant_id": 1, "user": "ann", "kind": "interactive", "request_id": "r"}


async def answer_to(box: Box, line: bytes) -> dict[str, Any] | None:
    reader, writer = await asyncio.open_unix_connection(box.socket, limit=protocol.LONGEST_LINE_BYTES)
    try:
        writer.write(line)
        writer.write_eof()
        return await asyncio.wait_for(protocol.read(reader), DEADLINE_SECONDS)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{\n", "not JSON"),
        (b"\xff\xfe\n", "not JSON"),
        (b"[]\n", "JSON object"),
        (b"{}\n", "type"),
        (b'{"type": 3}\n', "type"),
        (b'{"type": "reboot"}\n', "unknown type"),
        (b"[" * 50_000 + b"\n", "not JSON"),
        (json.dumps({**LEASE, "variant_id": "1"}).encode() + b"\n", '"variant_id" is not a whole number'),
        (json.dumps({**LEASE, "variant_id": True}).encode() + b"\n", '"variant_id" is not a whole number'),
        (json.dumps({**LEASE, "variant_id": 10**30}).encode() + b"\n", '"variant_id" is not a whole number'),
        (json.dumps({**LEASE, "kind": "urgent"}).encode() + b"\n", '"kind" is not "interactive" or "batch"'),
        (json.dumps({**LEASE, "user": None}).encode() + b"\n", '"user" is not text'),
        (json.dumps({**LEASE, "user": "x" * 5000}).encode() + b"\n", '"user" is not text of at most'),
        (b'{"type": "lease", "variant_id": 1}\n', '"user" is missing'),
        (b'{"type": "pin", "variant_id": 1, "pinned": 1}\n', '"pinned" is not true or false'),
        (json.dumps({**LEASE, "purpose": "mischief"}).encode() + b"\n", '"purpose" is not "chat" or "imatrix"'),
        (b'{"type": "unload", "variant_id": 1, "purpose": null}\n', '"purpose" is not "chat" or "imatrix"'),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(box: Box, line: bytes, fault: str) -> None:
    answer = await answer_to(box, line)
    assert answer is not None
    assert (answer["type"], answer["refusal"]["kind"]) == ("refused", "bad_message")
    assert fault in answer["refusal"]["problem"]


async def test_a_sixteen_megabyte_line_is_refused_and_the_host_lives(box: Box) -> None:
    answer = await answer_to(box, b'{"type": "status", "x": "' + b"x" * 16 * 1024 * 1024 + b'"}\n')
    assert answer is not None
    assert answer["refusal"]["kind"] == "bad_message"
    assert "longer than" in answer["refusal"]["problem"]
    assert (await box.client.status())["type"] == "status"


async def test_half_a_line_and_silence_end_quietly(box: Box) -> None:
    assert await answer_to(box, b'{"type": "stat') is None
    assert await answer_to(box, b"") is None
    assert (await box.client.status())["queue"] == []


async def test_whatever_follows_a_lease_means_nothing(box: Box) -> None:
    one = box.add("one")
    reader, writer = await asyncio.open_unix_connection(box.socket)
    writer.write(protocol.encode({**LEASE, "variant_id": one}) + b"garbage\n" * 10_000)
    while (message := await asyncio.wait_for(protocol.read(reader), DEADLINE_SECONDS)) is not None:
        if message["type"] == "ready":
            break
    assert message is not None
    writer.close()
    await box.until(lambda status: status["residents"][0]["leases"] == 0)


async def test_two_hundred_callers_that_vanish_leave_nothing_behind(box: Box) -> None:
    one = box.add("one", n_seq_max=1)

    async def ask(n: int) -> None:
        async with box.client.lease(variant_id=one, user=f"user{n % 7}", request_id=str(n)) as lease:
            if n % 3 == 0:
                await ready(lease)

    await asyncio.wait_for(asyncio.gather(*map(ask, range(200))), DEADLINE_SECONDS)
    status = await box.until(lambda status: not status["queue"] and status["residents"][0]["leases"] == 0)
    assert status["residents"][0]["state"] == "resident"


async def test_a_watcher_that_never_reads_holds_up_nobody(box: Box) -> None:
    _, deaf = await asyncio.open_unix_connection(box.socket)
    deaf.write(protocol.encode({"type": "watch"}))
    one = box.add("one")
    for _ in range(20):
        await box.client.load(one)
        await box.client.unload(one)
    assert (await box.client.status())["residents"] == []
    deaf.close()
