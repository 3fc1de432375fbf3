"""The events of one request, read with time-outs: for doors that must say something while nothing happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from inference.answering.events import AnswerEvent


class TimedEvents:
    """Reads the events of one request with time-outs that leave the request alone.

    Closing it gives slot and lease back at once.
    """

    def __init__(self, events: AsyncGenerator[AnswerEvent, None]) -> None:
        self._events = events
        self._next: asyncio.Future[AnswerEvent] | None = None

    async def next(self, timeout_seconds: float | None) -> AnswerEvent | None:
        """The next event; None where none came in time. Raises what the request raises."""
        if self._next is None:
            self._next = asyncio.create_task(_step(self._events))
        done, _pending = await asyncio.wait({self._next}, timeout=timeout_seconds)
        if not done:
            return None
        event, self._next = self._next, None
        return event.result()

    async def until_taken(self, timeout_seconds: float) -> None:
        """Returns when the worker has taken the request, or after the time. Raises where it is refused before."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while (left_seconds := deadline - loop.time()) > 0:
            event = await self.next(left_seconds)
            if event is not None and event["type"] in ("prefill", "token", "done"):
                # It was read already, and is to be read again.
                self._next = loop.create_future()
                self._next.set_result(event)
                return

    async def aclose(self) -> None:
        if self._next is not None:
            self._next.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._next
            self._next = None
        await self._events.aclose()


async def _step(events: AsyncGenerator[AnswerEvent, None]) -> AnswerEvent:
    return await events.__anext__()
