"""Tasks of one event loop wait for a change without a queue: each remembers how many it has seen."""

from __future__ import annotations

import asyncio


class ChangeCounter:
    """Counts changes. A waiter that was busy while ten changes happened wakes once, so nothing piles up.

    Not for use across threads.
    """

    __slots__ = ("_waiters", "count")

    def __init__(self) -> None:
        self.count = 0
        self._waiters: list[asyncio.Future[None]] = []

    def increment(self) -> None:
        self.count += 1
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def after(self, seen: int) -> int:
        """The present count, as soon as it is greater than `seen`."""
        while self.count <= seen:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        return self.count
