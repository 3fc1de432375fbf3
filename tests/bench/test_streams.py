"""Recorded bytes become the same answer whichever server they came from."""

from __future__ import annotations

import json

import pytest

from tests.bench.streams import Answer, BadAnswer, Framing, read_answer

ANSWER = "Once upon\u00e9"
TIMINGS = {"predicted_n": 3, "prompt_n": 7, "cache_n": 2, "prompt_ms": 1.0, "predicted_ms": 2.0}


def frame(message: dict[str, object]) -> bytes:
    payload = json.dumps(message).encode()
    if len(payload) < 126:
        return bytes([0x81, len(payload)]) + payload
    return bytes([0x81, 126]) + len(payload).to_bytes(2, "big") + payload


def chunk(message: dict[str, object]) -> bytes:
    event = b"data: " + json.dumps(message).encode() + b"\n\n"
    return f"{len(event):x}\r\n".encode() + event + b"\r\n"


def patch(n: int, content: str) -> bytes:
    return frame({"type": "patch", "message": "m", "n": n, "at": 0, "content": content, "reasoning": "", "wait": None})


STREAMS: dict[Framing, list[bytes]] = {
    "lines": [
        b'{"type":"prefill","done":7,"total":9,"cached":2}\n',
        b'{"type":"token","n":1,"text":"Once","reasoning":false}\n',
        b'{"type":"token","n":3,"text":" upon\\u00e9","reasoning":false}\n',
        json.dumps({"type": "done", "reason": "length", "stop_string": None, "timings": TIMINGS}).encode() + b"\n",
    ],
    "server_sent_events": [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        chunk({"content": "Once", "stop": False, "tokens_predicted": 1}),
        chunk({"content": " upon\u00e9", "stop": False, "tokens_predicted": 3}),
        chunk({"content": "", "stop": True, "tokens_predicted": 3, "timings": TIMINGS}),
    ],
    "websocket": [
        frame({"type": "accepted", "nonce": "x", "conversation": "c", "message": "m"}),
        patch(1, "Once"),
        patch(3, " upon\u00e9"),
        frame({"type": "final", "view": {"state": "complete", "timings": TIMINGS, "content": ANSWER, "reasoning": ""}}),
    ],
}


def recorded(parts: list[bytes]) -> tuple[bytes, list[tuple[float, int]]]:
    """Each part arrives a second after the one before, the first at one second."""
    arrivals, total = [], 0
    for second, part in enumerate(parts, start=1):
        total += len(part)
        arrivals.append((float(second), total))
    return b"".join(parts), arrivals


@pytest.mark.parametrize("framing", list(STREAMS))
def test_every_framing_gives_times_counts_and_text(framing: Framing) -> None:
    assert read_answer(framing, *recorded(STREAMS[framing])) == Answer(
        counts=((2.0, 1), (3.0, 3)),
        n_prompt=7,
        n_cached=2,
        text=ANSWER,
    )


@pytest.mark.parametrize("framing", list(STREAMS))
def test_a_message_counts_from_the_moment_its_last_byte_arrived(framing: Framing) -> None:
    whole = b"".join(STREAMS[framing])
    first_token = len(b"".join(STREAMS[framing][:2]))
    answer = read_answer(framing, whole, [(1.0, first_token - 4), (5.0, len(whole))])
    assert answer.first_token_seconds == 5.0


@pytest.mark.parametrize("framing", list(STREAMS))
def test_a_stream_that_was_cut_is_no_answer(framing: Framing) -> None:
    with pytest.raises(BadAnswer, match="without its last message"):
        read_answer(framing, *recorded(STREAMS[framing][:-1]))


def test_a_refusal_is_no_answer_and_says_why() -> None:
    refusal = b'{"type":"refused","code":"context_exceeded","detail":"too long","facts":{}}\n'
    with pytest.raises(BadAnswer, match="too long"):
        read_answer("lines", *recorded([refusal]))


def test_an_answer_that_the_page_shows_as_failed_is_no_answer() -> None:
    failed = frame({"type": "final", "view": {"state": "failed", "error_code": "lost", "error_detail": "worker gone"}})
    with pytest.raises(BadAnswer, match="failed: lost worker gone"):
        read_answer("websocket", *recorded([failed]))


def test_patches_without_text_do_not_start_the_clock() -> None:
    waiting = patch(0, "")
    answer = read_answer("websocket", *recorded([waiting, *STREAMS["websocket"][1:]]))
    assert answer.first_token_seconds == 2.0


def test_a_long_websocket_frame_is_read_whole() -> None:
    long = b'{"type":"patch","n":1,"content":"' + b"a" * 70_000 + b'","reasoning":""}'
    large = bytes([0x81, 127]) + len(long).to_bytes(8, "big") + long
    answer = read_answer("websocket", *recorded([large, STREAMS["websocket"][-1]]))
    assert answer.counts[0] == (1.0, 1)


def test_words_that_come_with_the_last_message_count_from_then() -> None:
    answer = read_answer("websocket", *recorded([patch(1, "Once"), STREAMS["websocket"][-1]]))
    assert (answer.last_token_seconds, answer.n_tokens, answer.text) == (2.0, 3, ANSWER)


def test_tokens_between_two_pieces_count_in_proportion() -> None:
    answer = Answer(counts=((1.0, 1), (2.0, 5)), n_prompt=1, n_cached=0, text="")
    assert [answer.tokens_by(seconds) for seconds in (0.5, 1.0, 1.25, 2.0, 9.0)] == [0, 1, 2, 5, 5]
