"""The headers of one repository's variants, which have nearly all their bytes in common: the vocabulary.

A vocabulary takes some 8 MB, everything else in a header some 100 kB. So one header is read whole, and of each further one what
lies before and behind the vocabulary; between them the first one's bytes are taken for its own. Where that is wrong, the parser
stumbles over it, for the tensor table would then not lie where it is looked for, and the header is read whole after all.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from models_app.gguf import BadGguf, Header, LongArray, combine, parse
from models_app.hub.headers import FIRST_RANGE_BYTES, OpenRange, RangeBody, Traffic, continue_parsing, read_file
from models_app.hub.names import RemoteFile

LEAST_SHARED_BYTES = 512 << 10
"""Less is not worth a second request."""
PATIENCE_SECONDS = 3.0
"""How long the others wait for the first: longer than a vocabulary takes on a good line, and no reason to stand still behind a stall."""
_PIECE_BYTES = 1 << 20
_AT_ONCE = 4
"""Shards whose headers are read side by side."""


@dataclass(frozen=True, slots=True)
class _Shared:
    """Bytes of the header that was read whole. `start` == `end`: nothing that is worth sharing."""

    raw: bytes
    """From the beginning of the file to `end`."""
    start: int
    end: int


_NOTHING = _Shared(b"", 0, 0)


class SiblingHeaders:
    """Variants of one repository at one commit. Safe to use from several threads; holds a header's bytes as long as it lives."""

    def __init__(self, open_range: OpenRange) -> None:
        self._open = open_range
        self._learning = threading.Lock()
        self._shared: _Shared | None = None

    def read_variant(self, files: Sequence[RemoteFile], traffic: Traffic | None = None) -> Header:
        """The header that all shards have together. Blocks on the network. Raises BadGguf, HubError."""
        first = self._read_first(files[0], traffic or Traffic())
        if len(files) == 1:
            return combine([first])
        # Only the first shard has a vocabulary.
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="hub-header") as pool:
            return combine([first, *pool.map(lambda file: read_file(self._open, file), files[1:])])

    def _read_first(self, file: RemoteFile, traffic: Traffic) -> Header:
        if self._shared is None:
            if not self._learning.acquire(timeout=PATIENCE_SECONDS):
                return read_file(self._open, file, traffic)
            try:
                if self._shared is None:
                    return self._learn(file, traffic)
            finally:
                self._learning.release()
        shared = self._shared
        if shared.start == shared.end or shared.end >= file.size_bytes:
            return read_file(self._open, file, traffic)
        try:
            return self._read_around(file, shared, traffic)
        except BadGguf:
            return read_file(self._open, file, traffic)

    def _learn(self, file: RemoteFile, traffic: Traffic) -> Header:
        kept = bytearray()
        header = read_file(_keeping(self._open, kept), file, traffic)
        arrays = [value for value in header.metadata.values() if isinstance(value, LongArray)]
        start = min((array.offset for array in arrays), default=0)
        end = max((array.offset + array.n_bytes for array in arrays), default=0)
        worthwhile = end - start >= LEAST_SHARED_BYTES and end <= len(kept)
        self._shared = _Shared(bytes(kept[:end]), start, end) if worthwhile else _NOTHING
        return header

    def _read_around(self, file: RemoteFile, shared: _Shared, traffic: Traffic) -> Header:
        head = self._head(file, shared.start, traffic)
        known = head + shared.raw[len(head) :]
        steps = parse(file.size_bytes)
        need = next(steps)
        while need.offset + need.n_bytes <= len(known):
            need = steps.send(known[need.offset : need.offset + max(need.n_bytes, _PIECE_BYTES)])
        return continue_parsing(self._open, file, steps, need, traffic)

    def _head(self, file: RemoteFile, n_bytes: int, traffic: Traffic) -> bytes:
        traffic.n_requests += 1
        head = bytearray()
        with self._open(file.path, 0, n_bytes) as body:
            for chunk in body.chunks:
                head += chunk
                traffic.n_bytes += len(chunk)
                if len(head) >= n_bytes:
                    break
        return bytes(head[:n_bytes])


@dataclass(frozen=True, slots=True)
class _Keeping:
    start: int
    chunks: Iterator[bytes]


def _keeping(open_range: OpenRange, kept: bytearray) -> OpenRange:
    """Notes what arrives, from the beginning of the file and without a gap."""

    @contextmanager
    def open_(path: str, start: int, end: int) -> Iterator[RangeBody]:
        with open_range(path, start, end) as body:
            yield _Keeping(body.start, keep(body))

    def keep(body: RangeBody) -> Iterator[bytes]:
        position = body.start
        for chunk in body.chunks:
            if position == len(kept) and position < FIRST_RANGE_BYTES:
                kept.extend(chunk)
            position += len(chunk)
            yield chunk

    return open_
