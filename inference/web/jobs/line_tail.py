"""Which lines of jobs' logs are new. Pure.

A database numbers a line when it is written and shows it when it is committed: on PostgreSQL a lower number can turn up after
a higher one. So what is behind the highest number is looked at for a while longer.
"""

from __future__ import annotations

from collections.abc import Collection

LATE_SECONDS = 30.0
"""A line takes one short statement to write; what takes longer shows when its page is loaded anew."""


class LineTail:
    """`after`: no number up to this one is new any more. `seen`: those beyond it that were told already."""

    def __init__(self, after: int, seen: Collection[int], now: float) -> None:
        self.after = after
        self._seen_at = dict.fromkeys(seen, now)

    @property
    def seen(self) -> Collection[int]:
        return self._seen_at.keys()

    def tell(self, numbers: Collection[int], now: float) -> None:
        """These are told now. `now`: of a clock that only goes forward, in seconds."""
        self._seen_at.update(dict.fromkeys(numbers, now))
        self.after = max([self.after, *(number for number, at in self._seen_at.items() if now - at >= LATE_SECONDS)])
        self._seen_at = {number: at for number, at in self._seen_at.items() if number > self.after}
