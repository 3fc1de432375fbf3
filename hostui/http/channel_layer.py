"""The channel layer of several web processes: messages within one go through its memory, those to the others through Redis.

What happens in a process never waits for Redis. While it does not answer only the tabs that hang on other processes miss that
something changed; they see it with the next change, or when they are loaded anew.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from contextlib import suppress
from typing import Any

from channels.layers import InMemoryChannelLayer
from redis.asyncio import Redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

TOPIC = "hostui:groups"
ANSWER_SECONDS = 2.0
"""A connection that takes longer will not come about."""
PAUSE_SECONDS = 2.0
"""Between two attempts to hear the others."""


class SharedLayer(InMemoryChannelLayer):
    """Carries JSON messages between web processes, for one event loop. It listens from the first group on, until the loop ends."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(**options)
        self._url = url
        self._process = uuid.uuid4().hex
        self._listening: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._redis: Redis | None = None
        self._is_down = False

    async def group_add(self, group: str, channel: str) -> None:
        await super().group_add(group, channel)
        if self._listening is None:
            self._listening = asyncio.create_task(self._keep_listening(), name="other web processes")

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Returns when the channels of this process have it."""
        await super().group_send(group, message)
        sending = asyncio.create_task(self._publish(group, message), name="to other web processes")
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Stops listening. For who made the layer without a process around it."""
        for task in [self._listening, *self._sending]:
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        if self._redis is not None:
            await self._redis.aclose()

    # Redis --------------------------------------------------------------------------------------------------------

    def _client(self) -> Redis:
        if self._redis is None:
            self._redis = Redis.from_url(self._url, socket_connect_timeout=ANSWER_SECONDS, socket_timeout=None)
        return self._redis

    async def _publish(self, group: str, message: dict[str, Any]) -> None:
        letter = json.dumps({"from": self._process, "group": group, "message": message})
        with suppress(RedisError, OSError):  # the listener says that it is down
            await self._client().publish(TOPIC, letter)

    async def _keep_listening(self) -> None:
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                self._say_down(error)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _listen(self) -> None:
        """Hands on what the others send. Raises RedisError, OSError."""
        async with self._client().pubsub() as heard:
            await heard.subscribe(TOPIC)
            async for item in heard.listen():
                if item["type"] == "subscribe":
                    self._is_down = False
                    continue
                letter = json.loads(item["data"])
                if letter["from"] != self._process:
                    await super().group_send(letter["group"], letter["message"])

    def _say_down(self, error: Exception) -> None:
        """Once, until it has answered again."""
        if not self._is_down:
            self._is_down = True
            logger.warning(
                "Redis does not answer: pages that hang on other web processes are not told of changes until it does",
                extra={"event": "redis_down", "error": str(error)},
            )
