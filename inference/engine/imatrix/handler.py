"""What an imatrix worker answers on its socket: one importance matrix a request, and pings."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.engine.imatrix.collector import Collector
from inference.engine.imatrix.file import BadImatrix, read_sums
from inference.engine.imatrix.pass_thread import ImatrixPass, ImatrixThread
from inference.engine.llama import Model
from inference.engine.serving.connection import CallerConnection
from inference.engine.serving.fields import RequestRefused, appended, name_of
from inference.engine.serving.server import log, send_pong, until_over

_FIELDS = {"type", "request_id", "text", "dataset", "most_chunks", "first_chunk", "earlier", "seconds", "path"}
_MOST_CHUNKS = 100_000


class ImatrixHandler:
    """Answers imatrix and ping. Each call returns when its answer is complete or its caller has gone."""

    def __init__(self, model: Model, n_ctx_seq: int, thread: ImatrixThread) -> None:
        self._model = model
        self._chunk_tokens = n_ctx_seq
        self._thread = thread

    async def handle(self, message: dict[str, Any], reader: asyncio.StreamReader, connection: CallerConnection) -> None:
        """Raises RequestRefused."""
        if message["type"] == "imatrix":
            await self._run(message, reader, connection)
        elif message["type"] == "ping":
            self._thread.ping(lambda ms: send_pong(connection, ms))
            await until_over(reader, connection)
        else:
            raise RequestRefused(
                "bad_request", f"unknown type {message['type'][:80]!r}: this worker reads, expected imatrix or ping"
            )

    async def _run(self, message: dict[str, Any], reader: asyncio.StreamReader, connection: CallerConnection) -> None:
        parameters = _parameters(message)
        loop = asyncio.get_running_loop()
        chunks = await loop.run_in_executor(None, self._chunks, parameters)
        collector = await loop.run_in_executor(None, _collector, parameters)
        with appended(message.get("path")) as descriptor:
            work = ImatrixPass(
                chunks=chunks,
                first_chunk=parameters.first_chunk,
                seconds=parameters.seconds,
                collector=collector,
                dataset=parameters.dataset,
                descriptor=descriptor,
                sink=connection,
            )
            self._thread.submit(work)
            await until_over(reader, connection)
            await asyncio.wrap_future(self._thread.withdraw(work))
            log(message, "caller left" if connection.broken else "answered", n_chunks=work.n_chunks_read)

    def _chunks(self, parameters: _Parameters) -> list[array[int]]:
        """As llama-imatrix cuts a text: each begins with the vocabulary's first token where it has one. Raises RequestRefused."""
        try:
            tokens = self._model.tokenize(parameters.text, add_special=True, parse_special=False)
        except (UnicodeEncodeError, OverflowError) as error:
            raise RequestRefused("bad_request", f"text: it cannot be cut into tokens: {error}") from None
        length = self._chunk_tokens
        n_chunks = min(len(tokens) // length, parameters.most_chunks)
        if not n_chunks:
            raise RequestRefused(
                "bad_request", f"the text has {len(tokens)} tokens; at least {length} are needed", n_tokens=len(tokens)
            )
        if parameters.first_chunk >= n_chunks:
            raise RequestRefused("bad_request", f"first_chunk: the text has {n_chunks}, counted from 0")
        chunks = [tokens[number * length : (number + 1) * length] for number in range(n_chunks)]
        if self._model.adds_bos:
            for chunk in chunks:
                chunk[0] = self._model.bos
        return chunks


@dataclass(frozen=True, slots=True)
class _Parameters:
    """The checked fields of a protocol.MakeImatrix."""

    text: str
    dataset: str
    most_chunks: int
    first_chunk: int
    earlier: str | None
    seconds: float


def _parameters(message: Mapping[str, Any]) -> _Parameters:
    """Raises RequestRefused."""
    unknown = sorted(set(message) - _FIELDS)
    if unknown:
        raise RequestRefused("bad_request", f"unknown fields: {', '.join(unknown)[:200]}")
    name_of(message, "request_id")
    text, seconds, earlier = message.get("text"), message.get("seconds"), message.get("earlier")
    first_chunk = _count(message, "first_chunk", 0)
    if not isinstance(text, str):
        raise RequestRefused("bad_request", "text: expected a text")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        raise RequestRefused("bad_request", "seconds: expected a number")
    if not isinstance(earlier, str | None) or (earlier is None) != (first_chunk == 0):
        raise RequestRefused("bad_request", "earlier: expected a path where chunks were read already, else null")
    dataset, most_chunks = name_of(message, "dataset"), _count(message, "most_chunks", 1)
    return _Parameters(text, dataset, most_chunks, first_chunk, earlier, seconds)


def _collector(parameters: _Parameters) -> Collector:
    """With what earlier parts have summed up. Raises RequestRefused."""
    if parameters.earlier is None:
        return Collector()
    try:
        return Collector(*read_sums(Path(parameters.earlier)))
    except BadImatrix as bad:
        raise RequestRefused("bad_request", f"earlier: {bad}") from None


def _count(message: Mapping[str, Any], field: str, least: int) -> int:
    """Raises RequestRefused."""
    value = message.get(field)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST_CHUNKS:
        raise RequestRefused("bad_request", f"{field}: expected a whole number from {least} to {_MOST_CHUNKS}")
    return value
