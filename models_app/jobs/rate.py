"""How fast a job gets on: over the last seconds, so that it follows what happens now. Pure."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 10.0


class Rate:
    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, now: float, done: int) -> float | None:
        """Units per second over the window that ends now; None before there is a second look. `now` in seconds, of any clock."""
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()  # another stage, which counts from its own beginning
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW_SECONDS:
            self._seen.popleft()
        then, before = self._seen[0]
        return (done - before) / (now - then) if now > then else None
