"""GGUF headers of files that are not here: read by range requests, as few as will do. Blocks on the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from models_app.gguf import BadGguf, Header, Need, parse
from models_app.gguf.parser import Steps
from models_app.hub.errors import ConnectionDropped
from models_app.hub.names import RemoteFile

FIRST_RANGE_BYTES = 32 << 20
"""Of the largest vocabularies, with their merges, the header takes some 20 MB. Reading ends with the header, not with the range."""
FURTHER_RANGE_BYTES = 8 << 20
MOST_HEADER_BYTES = 256 << 20
_PIECE_BYTES = 64 << 10
MOST_CUTS = 2
"""A connection that ends in the middle is followed by another from there on; after so many it is given up."""


class RangeBody(Protocol):
    """models_app.hub.session.RemoteBody, as far as it is needed here."""

    @property
    def start(self) -> int: ...
    @property
    def chunks(self) -> Iterator[bytes]: ...


OpenRange = Callable[[str, int, int], AbstractContextManager[RangeBody]]
"""Path, first byte, end (not included): the bytes as they arrive, which may begin earlier. Raises HubError."""


@dataclass(slots=True)
class Traffic:
    """What reading a header took."""

    n_requests: int = 0
    n_bytes: int = 0


def read_file(open_range: OpenRange, file: RemoteFile, traffic: Traffic | None = None) -> Header:
    """The header of one file, of which only that much is fetched. One request for any header up to FIRST_RANGE_BYTES.

    The length of a header is known when its end is reached, and no sooner: so a generous range is opened, parsed while it
    arrives, and closed. One that is cut off is followed by another. Raises BadGguf, HubError.
    """
    steps = parse(file.size_bytes)
    return continue_parsing(open_range, file, steps, next(steps), traffic or Traffic())


def continue_parsing(
    open_range: OpenRange, file: RemoteFile, steps: Steps[Header], need: Need, traffic: Traffic
) -> Header:
    """The header of a file whose parser has come as far as `need`. Raises BadGguf, HubError."""
    try:
        n_range_bytes, cuts_left = FIRST_RANGE_BYTES, MOST_CUTS
        while True:
            if need.offset > MOST_HEADER_BYTES:
                raise BadGguf(f"its header is longer than {MOST_HEADER_BYTES} bytes", need.offset)
            end = min(file.size_bytes, need.offset + max(n_range_bytes, need.n_bytes))
            traffic.n_requests += 1
            try:
                with open_range(file.path, need.offset, end) as body:
                    arriving = _Arriving(body, traffic)
                    while need.offset + need.n_bytes <= end:
                        need = steps.send(arriving.at(need))
            except ConnectionDropped:
                if not cuts_left:
                    raise
                cuts_left -= 1
                continue
            n_range_bytes = FURTHER_RANGE_BYTES
    except StopIteration as done:
        header: Header = done.value
        return header


class _Arriving:
    """A window over bytes that arrive: what lies before the parser's place is dropped."""

    def __init__(self, body: RangeBody, traffic: Traffic) -> None:
        self._chunks = body.chunks
        self._offset = body.start
        self._buffer = bytearray()
        self._traffic = traffic
        self._is_over = False

    def at(self, need: Need) -> bytes:
        """At least `need.n_bytes` from `need.offset`, and what else is there; less only where the body has ended."""
        wanted = max(need.n_bytes, _PIECE_BYTES)
        while not self._is_over:
            self._drop(need.offset)
            if self._offset == need.offset and len(self._buffer) >= wanted:
                break
            chunk = next(self._chunks, b"")
            self._is_over = not chunk
            self._traffic.n_bytes += len(chunk)
            self._buffer += chunk
        self._drop(need.offset)
        return bytes(self._buffer)

    def _drop(self, offset: int) -> None:
        gone = min(len(self._buffer), max(0, offset - self._offset))
        del self._buffer[:gone]
        self._offset += gone
