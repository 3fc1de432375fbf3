"""A limit on bytes per second that all downloads of a process share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class RateLimiter:
    """Bytes may be taken ahead of their time; who takes them waits until the time has come. None: no limit.

    It may be set anew while somebody waits: what was taken is then paid at the new speed.
    """

    def __init__(self, bytes_per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._bytes_per_second = bytes_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._settled_at = clock()
        self._taken_bytes = 0.0
        self._paid_bytes = 0.0

    def set(self, bytes_per_second: float | None) -> None:
        with self._lock:
            self._settle()
            self._bytes_per_second = bytes_per_second

    def take(self, n_bytes: int) -> float:
        """A ticket for `seconds_until`."""
        with self._lock:
            self._settle()
            self._taken_bytes += n_bytes
            return self._taken_bytes

    def seconds_until(self, ticket: float) -> float:
        """How long its holder has to wait, as things stand: ask again after at most a second."""
        with self._lock:
            self._settle()
            if self._bytes_per_second is None:
                return 0.0
            return max(0.0, ticket - self._paid_bytes) / self._bytes_per_second

    def _settle(self) -> None:
        """Time pays what was taken, and is not saved up."""
        now = self._clock()
        if self._bytes_per_second is None:
            self._paid_bytes = self._taken_bytes
        else:
            paid_bytes = self._paid_bytes + (now - self._settled_at) * self._bytes_per_second
            self._paid_bytes = min(self._taken_bytes, paid_bytes)
        self._settled_at = now
