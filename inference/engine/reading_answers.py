"""What a worker that reads answers on its socket: one importance matrix a request, and pings."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from inference.engine.connection import Connection
from inference.engine.llama import Model
from inference.engine.reading import Reader, Reading
from inference.engine.requests import RequestRefused, appended, name_of
from inference.engine.server import log, pong, until_over

_FIELDS = {"type", "request_id", "text", "dataset", "most_chunks", "path"}
_MOST_CHUNKS = 100_000


class Readings:
    def __init__(self, model: Model, n_ctx_seq: int, reader: Reader) -> None:
        self._model = model
        self._chunk_tokens = n_ctx_seq
        self._reader = reader

    async def answer(self, message: dict[str, Any], reader: asyncio.StreamReader, connection: Connection) -> None:
        """Raises RequestRefused."""
        if message["type"] == "imatrix":
            await self._read(message, reader, connection)
        elif message["type"] == "ping":
            self._reader.ping(lambda ms: pong(connection, ms))
            await until_over(reader, connection)
        else:
            raise RequestRefused(
                "bad_request", f"unknown type {message['type'][:80]!r}: this worker reads, expected imatrix or ping"
            )

    async def _read(self, message: dict[str, Any], reader: asyncio.StreamReader, connection: Connection) -> None:
        chunks = await asyncio.get_running_loop().run_in_executor(None, self._chunks, message)
        with self._reading(message, chunks, connection) as reading:
            self._reader.submit(reading)
            await until_over(reader, connection)
            await asyncio.wrap_future(self._reader.withdraw(reading))
            log(message, "caller left" if connection.broken else "read", n_chunks=reading.n_chunks_read)

    def _chunks(self, message: Mapping[str, Any]) -> list[array[int]]:
        """As llama-imatrix cuts a text: each begins with the vocabulary's first token where it has one. Raises RequestRefused."""
        unknown = sorted(set(message) - _FIELDS)
        if unknown:
            raise RequestRefused("bad_request", f"unknown fields: {', '.join(unknown)[:200]}")
        text, most_chunks = message.get("text"), message.get("most_chunks")
        if not isinstance(text, str):
            raise RequestRefused("bad_request", "text: expected a text")
        if isinstance(most_chunks, bool) or not isinstance(most_chunks, int) or not 0 < most_chunks <= _MOST_CHUNKS:
            raise RequestRefused("bad_request", f"most_chunks: expected a whole number from 1 to {_MOST_CHUNKS}")
        try:
            tokens = self._model.tokenize(text, add_special=True, parse_special=False)
        except (UnicodeEncodeError, OverflowError) as error:
            raise RequestRefused("bad_request", f"text: it cannot be cut into tokens: {error}") from None
        length = self._chunk_tokens
        n_chunks = min(len(tokens) // length, most_chunks)
        if not n_chunks:
            raise RequestRefused(
                "bad_request", f"the text has {len(tokens)} tokens; at least {length} are needed", n_tokens=len(tokens)
            )
        chunks = [tokens[number * length : (number + 1) * length] for number in range(n_chunks)]
        if self._model.adds_bos:
            for chunk in chunks:
                chunk[0] = self._model.bos
        return chunks

    @contextmanager
    def _reading(
        self, message: Mapping[str, Any], chunks: list[array[int]], connection: Connection
    ) -> Iterator[Reading]:
        """Its file is closed when the block is left: withdraw it before. Raises RequestRefused."""
        name_of(message, "request_id")
        dataset = name_of(message, "dataset")
        with appended(message.get("path")) as descriptor:
            yield Reading(chunks=chunks, dataset=dataset, descriptor=descriptor, outlet=connection)
