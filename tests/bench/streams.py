"""Reads recorded answers: when the first and the newest token came, and how many there were.

A client records only arrival times and bytes while the clock runs; what the bytes mean is worked out here, afterwards, so that
reading an answer costs the same whichever side gave it. Pure.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

Framing = Literal["lines", "server_sent_events", "websocket"]
"""`lines`: engine.protocol. `server_sent_events`: llama-server's /completion in HTTP chunks. `websocket`: /ws/chat/."""

END_PATTERNS: dict[Framing, bytes] = {
    "lines": rb'"type":\s*"(?:done|refused)"',
    "server_sent_events": rb'"stop":\s*true|"error":\s*\{',
    "websocket": rb'"type":\s*"final"|"type":\s*"error"',
}
"""What the last bytes of an answer contain."""


class BadAnswer(Exception):
    """The stream was refused, cut or made no tokens; a benchmark of it would mean nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One streamed answer. Times are seconds since the request was sent."""

    counts: tuple[tuple[float, int], ...]
    """(Seconds, tokens so far) for each piece of text; fewer pieces than tokens where some were joined."""
    n_prompt: int
    """Prompt tokens evaluated for this answer."""
    n_cached: int
    """Prompt tokens reused from an earlier one."""
    text: str

    @property
    def first_token_seconds(self) -> float:
        return self.counts[0][0]

    @property
    def last_token_seconds(self) -> float:
        return self.counts[-1][0]

    @property
    def n_tokens(self) -> int:
        return self.counts[-1][1]

    def tokens_by(self, seconds: float) -> float:
        """Tokens that had arrived by then, in proportion between one piece and the next."""
        after = bisect_right(self.counts, seconds, key=itemgetter(0))
        if after == 0:
            return 0.0
        if after == len(self.counts):
            return float(self.n_tokens)
        (since, n_before), (until, n_after) = self.counts[after - 1 : after + 1]
        return n_before + (n_after - n_before) * (seconds - since) / (until - since)


@dataclass(frozen=True, slots=True)
class _Ending:
    n_tokens: int
    n_prompt: int
    n_cached: int
    text: str | None
    """The whole answer, where the last message repeats it."""


Arrival = tuple[float, int]
"""Seconds since the request was sent, and how many bytes had arrived in all by then."""


def _lines(recorded: bytes) -> Iterator[tuple[int, str]]:
    """Complete lines, each with the offset at which it ends."""
    start = 0
    while (end := recorded.find(b"\n", start)) >= 0:
        yield end + 1, recorded[start:end].decode("utf-8")
        start = end + 1


TEXT, PING, PONG = 0x81, 0x89, 0x8A
"""First bytes of unfragmented WebSocket frames (RFC 6455 §5.2)."""


def websocket_frames(recorded: bytes | bytearray, at: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """Complete frames from a server, from the one that starts at `at`: the offset at which it ends, first byte, payload.

    Raises BadAnswer for what a server of short texts has no reason to send.
    """
    while at + 2 <= len(recorded):
        first, length = recorded[at], recorded[at + 1]
        header = 2
        if length & 0x80:
            raise BadAnswer("a masked frame from the server")
        if length >= 126:
            width = 2 if length == 126 else 8
            header += width
            length = int.from_bytes(recorded[at + 2 : at + header], "big")
        end = at + header + length
        if end > len(recorded):
            return
        if first in (0x01, 0x00, 0x80):
            raise BadAnswer("a fragmented frame")
        yield end, first, bytes(recorded[at + header : end])
        at = end


def _messages(framing: Framing, recorded: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    if framing == "websocket":
        for end, first, payload in websocket_frames(recorded):
            if first == TEXT:
                yield end, json.loads(payload)
        return
    for end, line in _lines(recorded):
        if framing == "lines":
            yield end, json.loads(line)
        elif line.startswith("data: ") and line.rstrip() != "data: [DONE]":
            yield end, json.loads(line[6:])
        elif line.startswith(('{"error"', "error: ")):
            raise BadAnswer(line)


class _Times:
    """Looks up when the byte before an offset arrived. Offsets must be asked for in rising order."""

    def __init__(self, arrivals: Sequence[Arrival]) -> None:
        self._arrivals = arrivals
        self._at = 0

    def of(self, offset: int) -> float:
        while self._arrivals[self._at][1] < offset:
            self._at += 1
        return self._arrivals[self._at][0]


def read_answer(framing: Framing, recorded: bytes, arrivals: Sequence[Arrival]) -> Answer:
    """The answer in the recorded bytes. Raises BadAnswer."""
    pieces: list[tuple[float, int, str]] = []  # arrival, tokens so far, text
    times = _Times(arrivals)
    for end, message in _messages(framing, recorded):
        if (piece := _piece(framing, message)) is not None:
            pieces.append((times.of(end), *piece))
        if (ending := _ending(framing, message)) is not None:
            return _answer(pieces, ending, times.of(end))
    raise BadAnswer(f"the stream ended after {len(pieces)} pieces without its last message")


def _answer(pieces: Sequence[tuple[float, int, str]], ending: _Ending, ended_seconds: float) -> Answer:
    if not pieces:
        raise BadAnswer("no token arrived")
    counts = [(seconds, n) for seconds, n, _ in pieces]
    if ending.n_tokens > counts[-1][1]:
        # Tokens may come with the last message itself: the chat page's last words do.
        counts.append((ended_seconds, ending.n_tokens))
    return Answer(
        counts=tuple(counts),
        n_prompt=ending.n_prompt,
        n_cached=ending.n_cached,
        text="".join(text for _, _, text in pieces) if ending.text is None else ending.text,
    )


def _piece(framing: Framing, message: dict[str, Any]) -> tuple[int, str] | None:
    """Tokens so far and the text that this message adds; None where it adds none."""
    kind = message.get("type")
    if framing == "lines":
        return (message["n"], message["text"]) if kind == "token" else None
    if framing == "server_sent_events":
        return (message["tokens_predicted"], message["content"]) if message.get("content") else None
    if kind == "patch" and (message["content"] or message["reasoning"]):
        return message["n"], message["reasoning"] + message["content"]
    if kind == "conversation":
        for view in message["messages"]:
            if view["state"] == "running" and (view["content"] or view["reasoning"]):
                return view["n_tokens"], view["reasoning"] + view["content"]
    return None


def _ending(framing: Framing, message: dict[str, Any]) -> _Ending | None:
    """What the last message of an answer says; None for any other message."""
    kind = message.get("type")
    if kind in ("refused", "error") or "error" in message:
        raise BadAnswer(json.dumps(message))
    text = None
    if framing == "server_sent_events":
        if not message.get("stop"):
            return None
        timings = message["timings"]
    elif framing == "lines":
        if kind != "done":
            return None
        timings = message["timings"]
    else:
        if kind != "final":
            return None
        view = message["view"]
        if view["state"] != "complete":
            raise BadAnswer(f"the answer ended {view['state']}: {view['error_code']} {view['error_detail']}")
        timings = view["timings"]
        text = view["reasoning"] + view["content"]
    return _Ending(
        n_tokens=timings["predicted_n"], n_prompt=timings["prompt_n"], n_cached=timings["cache_n"], text=text
    )
