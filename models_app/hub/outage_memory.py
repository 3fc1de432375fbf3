"""A short memory of a Hub that cannot be reached, so that not every page waits for the same silence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from models_app.hub.errors import ConnectionDropped, Unreachable

REMEMBERED_SECONDS = 20.0

T = TypeVar("T")


class OutageMemory:
    """Safe to use from several threads. For pages: a job that waits knows better when to try again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._silent: dict[str, tuple[float, str]] = {}
        """By endpoint: since when, and why."""

    def ask(self, endpoint: str, question: Callable[[], T], *, again: bool = False) -> T:
        """The answer; Unreachable at once where the endpoint was silent a moment ago, unless a person asked `again`."""
        with self._lock:
            since, cause = self._silent.get(endpoint, (None, ""))
        if since is not None and not again and self._clock() - since < REMEMBERED_SECONDS:
            raise Unreachable(endpoint, cause)
        try:
            answer = question()
        except ConnectionDropped:
            raise
        except Unreachable as silence:
            with self._lock:
                self._silent[endpoint] = (self._clock(), silence.cause)
            raise
        with self._lock:
            self._silent.pop(endpoint, None)
        return answer
