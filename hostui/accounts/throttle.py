"""Guessing passwords is slow: after some failures a name, or an address, waits.

Failures are counted in this process, and in the cache that web processes share where there is one (settings.CACHES). While
that one does not answer this process's own count stands: nobody is kept out by it, and nobody may guess on.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.cache import BaseCache, caches
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

logger = logging.getLogger(__name__)
T = TypeVar("T")

WINDOW_SECONDS = 15 * 60
FAILURES_PER_NAME = 10
"""From one address for one name."""
FAILURES_PER_ADDRESS = 100
SHARED = "shared"
"""The cache of all web processes together, of those in settings.CACHES."""


def _counters(request: HttpRequest | None, username: str) -> dict[str, int]:
    """Cache keys with their limits."""
    address = request.META.get("REMOTE_ADDR", "") if request is not None else ""
    name = hashlib.sha256(f"{address} {username.lower()}".encode()).hexdigest()
    return {f"login:{name}": FAILURES_PER_NAME, f"login:{address or 'local'}": FAILURES_PER_ADDRESS}


def _wherever_counted(act: Callable[[BaseCache], T]) -> list[T]:
    """What `act` gives for each cache that counts; one that is shared and does not answer is left out."""
    found = [act(caches["default"])]
    if SHARED in caches.settings:
        try:
            found.append(act(caches[SHARED]))
        except Exception as error:
            logger.warning(
                "Redis does not answer: sign-ins are counted by each web process alone until it does",
                extra={"event": "logins_counted_apart", "error": str(error)},
            )
    return found


def blocked(request: HttpRequest | None, username: str) -> bool:
    """Whether the next attempt would be refused unseen."""
    counters = _counters(request, username)
    counted = _wherever_counted(lambda cache: cache.get_many(counters))
    return any(counts.get(key, 0) >= limit for counts in counted for key, limit in counters.items())


def _exceeds(cache: BaseCache, counters: dict[str, int]) -> bool:
    """Counts one attempt more; whether that is one too many."""
    over = False
    for key, limit in counters.items():
        cache.add(key, 0, WINDOW_SECONDS)
        over |= cache.incr(key) > limit
    return over


def _forgive(cache: BaseCache, by_name: str, by_address: str) -> None:
    cache.delete(by_name)
    with suppress(ValueError):  # its window has just ended, or a Redis came back without it
        cache.decr(by_address)


class ThrottledModelBackend(ModelBackend):
    """Django's own backend behind the counters, whichever form asks: the login page, the admin, anything later."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Raises PermissionDenied while blocked. An attempt counts before it is judged, so parallel guesses all count."""
        counters = _counters(request, username or "")
        if any(_wherever_counted(lambda cache: _exceeds(cache, counters))):
            raise PermissionDenied
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is not None:
            _wherever_counted(lambda cache: _forgive(cache, *counters))
        return user

    async def aauthenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        return await sync_to_async(self.authenticate)(request, username=username, password=password, **kwargs)
