"""A limit on bytes per second that all downloads of a process share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Limit:
    """Bytes may be taken ahead of their time; who takes them waits until the time has come. None: no limit."""

    def __init__(self, bytes_per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._bytes_per_second = bytes_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at: float | None = None

    def take(self, n_bytes: int) -> float:
        """Seconds to wait before going on."""
        if self._bytes_per_second is None:
            return 0.0
        with self._lock:
            now = self._clock()
            begin = now if self._free_at is None else max(now, self._free_at)
            self._free_at = begin + n_bytes / self._bytes_per_second
            return self._free_at - now
