"""Whoever still sends reads its last reply whole, and keeps the worker neither busy nor open for long."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference.engine.lingering_close import LINGER_BYTES
from inference.engine.protocol import LONGEST_LINE_BYTES
from tests.closing import BLOCK, is_closed_in_the_end, says_then_reads, sends_until_cut
from tests.engine.worker_process import Call, WorkerProcess, text

pytestmark = pytest.mark.live

BUFFERED_BYTES = 8 * 1024 * 1024
"""More than the kernel and asyncio hold of one connection, besides the line."""
GENERATE: dict[str, Any] = {
    "type": "generate",
    "request_id": "r",
    "owner": "ann",
    "prompt": "x",
    "options": {"max_tokens": 2},
}


@pytest.mark.parametrize(
    ("line", "last"),
    [
        (b'{"type": "tokenize", "text": "', "refused"),
        (b"not json\n", "refused"),
        (b'{"type": "tokenize"}\n', "refused"),
        (b'{"type": "tokenize", "text": "x"}\n', "tokens"),
        (json.dumps(GENERATE).encode() + b"\n", "done"),
    ],
)
def test_the_last_reply_arrives_at_a_caller_who_sends_on(worker: WorkerProcess, line: bytes, last: str) -> None:
    with Call(worker.path) as call:
        heard = says_then_reads(call.socket, line, *[BLOCK] * (2 * LONGEST_LINE_BYTES // len(BLOCK)))
    assert json.loads(heard.splitlines()[-1])["type"] == last


def test_a_caller_who_never_stops_sending_is_cut(worker: WorkerProcess) -> None:
    with Call(worker.path) as call:
        assert sends_until_cut(call.socket) < 2 * LONGEST_LINE_BYTES + LINGER_BYTES + BUFFERED_BYTES


def test_callers_who_stay_hold_no_slot_and_are_closed_after_a_while(worker: WorkerProcess) -> None:
    calls = []
    for number in range(4):
        calls.append(worker.generate("Hello", temperature=0, max_tokens=2, owner=f"stays {number}"))
        assert list(calls[-1])[-1]["type"] == "done"
    assert text(worker.answer("Hello", temperature=0, max_tokens=2, owner="another"))
    for call in calls:
        assert is_closed_in_the_end(call.socket)
        call.close()
