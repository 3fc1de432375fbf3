"""Asynchronous events in a job's own thread, which has to look up from them now and then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import TypeVar

TICK_SECONDS = 0.5

T = TypeVar("T")


def ticking(events: AsyncGenerator[T, None], tick_seconds: float = TICK_SECONDS) -> Generator[T | None, None, None]:
    """The events, and None each time that none came for `tick_seconds`. Blocks.

    The loop stands still while the caller has the word: it may use the database. Closing the iterator, or an exception in
    the caller's loop over it, closes `events`.
    """
    loop = asyncio.new_event_loop()

    async def following() -> T:
        return await anext(events)

    async def wait(task: asyncio.Task[T]) -> bool:
        done, _ = await asyncio.wait({task}, timeout=tick_seconds)
        return bool(done)

    task: asyncio.Task[T] | None = None
    try:
        while True:
            task = task or loop.create_task(following())
            if not loop.run_until_complete(wait(task)):
                yield None
                continue
            finished, task = task, None
            try:
                event = finished.result()
            except StopAsyncIteration:
                return
            yield event
    finally:
        if task is not None:
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.run_until_complete(events.aclose())
        loop.close()
