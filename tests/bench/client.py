"""The benchmark's client: a process of its own that sends requests at the same moment and records what comes back.

`python -m tests.bench.client` reads one JSON job per line on standard input and answers each with one JSON line. While the clock
runs it does nothing but note arrival times and keep bytes (about 10 µs a read), the same for every side, so that it takes as
little of the measured processes' CPU as it can, and equally little from each.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

from tests.bench.streams import END_PATTERNS, PING, PONG, Answer, BadAnswer, Framing, read_answer, websocket_frames

OPENING_SECONDS = 30.0
SILENCE_SECONDS = 120.0
DRAIN_SECONDS = 0.05
TAIL_BYTES = 256
"""The end pattern may be split over two reads: it is looked for in each with this much of the one before."""


@dataclass(frozen=True, slots=True)
class Request:
    """One stream to open and one request to send on it.

    `address` is a Unix socket's path or "host:port". `opening`, where there is one, is an HTTP upgrade that is sent on connecting;
    what it brings is read until every pattern of `opening_ends` was seen, before the clock starts.
    """

    address: str
    framing: Framing
    payload: bytes
    opening: bytes = b""
    opening_ends: tuple[str, ...] = ()


class _Stream:
    def __init__(self, request: Request) -> None:
        self.request = request
        if request.address.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.connect(request.address)
        else:
            host, _, port = request.address.rpartition(":")
            self.socket = socket.create_connection((host, int(port)))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.recorded = bytearray()
        self.arrivals: list[tuple[float, int]] = []
        self.closed = False
        self._end = re.compile(END_PATTERNS[request.framing], re.DOTALL)
        self._frames_end = 0

    def open(self) -> None:
        """Sends the opening and reads on until it has brought what it must. Frames that come with it belong to the recording."""
        if not self.request.opening:
            return
        self.socket.settimeout(OPENING_SECONDS)
        self.socket.sendall(self.request.opening)
        seen = b""
        while not all(re.search(pattern.encode(), seen) for pattern in self.request.opening_ends):
            chunk = self.socket.recv(65536)
            if not chunk:
                raise BadAnswer(f"the connection closed while opening, after {seen[-400:]!r}")
            seen += chunk
        self.socket.settimeout(None)
        self.recorded += seen.partition(b"\r\n\r\n")[2]
        self.arrivals.append((0.0, len(self.recorded)))

    def receive(self, since: float) -> bool:
        """Reads what is there; True when the answer is over."""
        chunk = self.socket.recv(262144)
        searched_from = max(0, len(self.recorded) - TAIL_BYTES)
        self.recorded += chunk
        self.arrivals.append((time.perf_counter() - since, len(self.recorded)))
        self.closed = not chunk
        if self.request.framing == "websocket":
            self._answer_pings()
        return self.closed or self._end.search(self.recorded, searched_from) is not None

    def _answer_pings(self) -> None:
        """A server closes a socket whose other end seems dead; a browser answers by itself."""
        for end, first, payload in websocket_frames(self.recorded, self._frames_end):
            self._frames_end = end
            if first == PING:
                # A mask of zeros is a mask; it leaves the payload as it is.
                self.socket.sendall(bytes([PONG, 0x80 | len(payload), 0, 0, 0, 0]) + payload)

    def close(self) -> None:
        self.socket.close()


def _drain(stream: _Stream, since: float) -> None:
    """Reads on for a moment: the end pattern may stand in the middle of a last message that came in two reads."""
    stream.socket.settimeout(DRAIN_SECONDS)
    with suppress(TimeoutError):
        while not stream.closed:
            stream.receive(since)


def stream_all(requests: Sequence[Request]) -> tuple[list[Answer], float]:
    """Opens every stream, sends all requests at once and reads the answers; also the CPU seconds that this cost the client.

    Raises BadAnswer.
    """
    streams = [_Stream(request) for request in requests]
    try:
        for stream in streams:
            stream.open()
        selector = selectors.DefaultSelector()
        for stream in streams:
            selector.register(stream.socket, selectors.EVENT_READ, stream)
        cpu_before = time.process_time()
        since = time.perf_counter()
        for stream in streams:
            stream.socket.sendall(stream.request.payload)
        running = len(streams)
        while running:
            ready = selector.select(SILENCE_SECONDS)
            if not ready:
                raise BadAnswer(f"{running} of {len(streams)} streams fell silent for {SILENCE_SECONDS:g} s")
            for key, _ in ready:
                if key.data.receive(since):
                    selector.unregister(key.fileobj)
                    running -= 1
        cpu_seconds = time.process_time() - cpu_before
        for stream in streams:
            _drain(stream, since)
        answers = [read_answer(each.request.framing, bytes(each.recorded), each.arrivals) for each in streams]
        return answers, cpu_seconds
    finally:
        for stream in streams:
            stream.close()


class Client:
    """The client process, seen from the benchmark that drives it."""

    def __enter__(self) -> Client:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.client"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def stream_all(self, requests: Sequence[Request]) -> tuple[list[Answer], float]:
        """As the function of the same name, in the client's process. Raises BadAnswer."""
        job = [{**asdict(each), "payload": _text(each.payload), "opening": _text(each.opening)} for each in requests]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise BadAnswer("the client process ended")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise BadAnswer(reply["error"])
        answers = [Answer(**{**each, "counts": tuple(map(tuple, each["counts"]))}) for each in reply["answers"]]
        return answers, reply["cpu_seconds"]


def _text(payload: bytes) -> str:
    return b64encode(payload).decode()


def _request(values: dict[str, Any]) -> Request:
    return Request(
        address=values["address"],
        framing=values["framing"],
        payload=b64decode(values["payload"]),
        opening=b64decode(values["opening"]),
        opening_ends=tuple(values["opening_ends"]),
    )


def main() -> None:
    for line in sys.stdin.buffer:
        try:
            answers, cpu_seconds = stream_all([_request(each) for each in json.loads(line)])
            reply: dict[str, Any] = {"answers": [asdict(each) for each in answers], "cpu_seconds": cpu_seconds}
        except (BadAnswer, OSError) as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
