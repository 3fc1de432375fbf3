"""The requests that an ordinary worker answers: texts, their tokens and their scores."""

from __future__ import annotations

import asyncio
from typing import Any

from inference.engine.chat.batching import Batcher
from inference.engine.chat.request_parser import RequestParser
from inference.engine.protocol import Tokens
from inference.engine.serving.connection import CallerConnection
from inference.engine.serving.fields import RequestRefused
from inference.engine.serving.server import log, send_pong, until_over


class ChatHandler:
    """Answers generate, tokenize, score and ping. Each call returns when its answer is complete or its caller has gone."""

    def __init__(self, parser: RequestParser, batcher: Batcher) -> None:
        self._parser = parser
        self._batcher = batcher

    async def handle(self, message: dict[str, Any], reader: asyncio.StreamReader, connection: CallerConnection) -> None:
        """Raises RequestRefused."""
        if message["type"] == "generate":
            await self._generate(message, reader, connection)
        elif message["type"] == "tokenize":
            connection.send(Tokens(type="tokens", tokens=await self._parser.tokens(message)), last=True)
        elif message["type"] == "score":
            await self._score(message, reader, connection)
        elif message["type"] == "ping":
            self._batcher.ping(lambda ms: send_pong(connection, ms))
            await until_over(reader, connection)
        else:
            raise RequestRefused(
                "bad_request", f"unknown type {message['type'][:80]!r}: expected generate, tokenize, score or ping"
            )

    async def _generate(
        self, message: dict[str, Any], reader: asyncio.StreamReader, connection: CallerConnection
    ) -> None:
        try:
            generation = await self._parser.generation(message, connection)
        except RequestRefused as refused:
            log(message, "refused", code=refused.code)
            raise
        self._batcher.submit(generation)
        await until_over(reader, connection)
        log(
            message,
            "caller left" if connection.broken else "answered",
            prompt_n=len(generation.prompt),
            cache_n=generation.n_cached,
            predicted_n=generation.n_generated,
        )
        self._batcher.cancel(generation)

    async def _score(self, message: dict[str, Any], reader: asyncio.StreamReader, connection: CallerConnection) -> None:
        with self._parser.scoring(message, connection) as scoring:
            self._batcher.submit(scoring)
            await until_over(reader, connection)
            await asyncio.wrap_future(self._batcher.withdraw(scoring))
