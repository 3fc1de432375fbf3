"""Guessing passwords is slow: after some failures a name, or an address, waits."""

from __future__ import annotations

import hashlib
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AbstractBaseUser
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

WINDOW_SECONDS = 15 * 60
FAILURES_PER_NAME = 10
"""From one address for one name."""
FAILURES_PER_ADDRESS = 100


def _counters(request: HttpRequest | None, username: str) -> dict[str, int]:
    """Cache keys with their limits."""
    address = request.META.get("REMOTE_ADDR", "") if request is not None else ""
    name = hashlib.sha256(f"{address} {username.lower()}".encode()).hexdigest()
    return {f"login:{name}": FAILURES_PER_NAME, f"login:{address or 'local'}": FAILURES_PER_ADDRESS}


def blocked(request: HttpRequest | None, username: str) -> bool:
    """Whether the next attempt would be refused unseen."""
    return any(cache.get(key, 0) >= limit for key, limit in _counters(request, username).items())


class ThrottledModelBackend(ModelBackend):
    """Django's own backend behind the counters, whichever form asks: the login page, the admin, anything later."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> AbstractBaseUser | None:
        """Raises PermissionDenied while blocked. An attempt counts before it is judged, so parallel guesses all count."""
        counters = _counters(request, username or "")
        over = False
        for key, limit in counters.items():
            cache.add(key, 0, WINDOW_SECONDS)
            over |= cache.incr(key) > limit
        if over:
            raise PermissionDenied
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is not None:
            by_name, by_address = counters
            cache.delete(by_name)
            cache.decr(by_address)
        return user

    async def aauthenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> AbstractBaseUser | None:
        return await sync_to_async(self.authenticate)(request, username=username, password=password, **kwargs)
