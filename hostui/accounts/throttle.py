"""Guessing passwords is slow: after some failures an address, or an account, waits. A device that knows the account counts for itself.

Failures are counted in this process, and in the cache that web processes share where there is one (settings.CACHES). While
that one does not answer this process's own count stands: nobody is kept out by it, and nobody may guess on.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.core.cache import BaseCache, caches
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import HttpRequest

from hostui.accounts.known_devices import known_device
from models_app.storable import storable

logger = logging.getLogger(__name__)
T = TypeVar("T")

WINDOW_SECONDS = 15 * 60
FAILURES_PER_NAME = 10
"""From one address for one name, or on one device that knows the account."""
FAILURES_PER_ADDRESS = 100
FAILURES_PER_ACCOUNT = 50
"""From all addresses together. Who has signed in there before is not kept out by it: hostui.accounts.known_devices."""
LONGEST_LOGGED_NAME = 150
SHARED = "shared"
"""The cache of all web processes together, of those in settings.CACHES."""


def _counted_address(request: HttpRequest | None) -> str:
    """The address as it is counted: an IPv6 one by its /64, of which its holder has every address."""
    text = str(request.META.get("REMOTE_ADDR", "")) if request is not None else ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    return text if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def _counters(request: HttpRequest | None, username: str) -> dict[str, int]:
    """Cache keys with their limits; the first is this asker's own, and coming in forgets it.

    A device that knows the account is judged by its own failures alone: whatever others do, the right password comes in there.
    """
    account = hashlib.sha256(username.lower().encode("utf-8", "surrogatepass")).hexdigest()
    if (device := known_device(request, username)) is not None:
        return {f"login:device:{device}:{account}": FAILURES_PER_NAME}
    address = _counted_address(request)
    name = hashlib.sha256(f"{address} {account}".encode()).hexdigest()
    return {
        f"login:{name}": FAILURES_PER_NAME,
        f"login:{address or 'local'}": FAILURES_PER_ADDRESS,
        f"login:account:{account}": FAILURES_PER_ACCOUNT,
    }


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
    """Counts one attempt more; whether that is one too many.

    One that is too many for its asker is not held against the account: a single address could keep everybody out by it.
    """
    for key, limit in counters.items():
        cache.add(key, 0, WINDOW_SECONDS)
        if cache.incr(key) > limit:
            return True
    return False


def _forgive(cache: BaseCache, own: str, *others: str) -> None:
    cache.delete(own)
    for key in others:
        with suppress(ValueError):  # its window has just ended, or a Redis came back without it
            cache.decr(key)


@receiver(user_login_failed)
def _log_failure(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Says who was tried and from where, for each try that was judged: whoever goes on trying does not fill the log.

    The name is a stranger's text: cut short, and without what would break a line.
    """
    if getattr(request, "refused_unseen", False):
        return
    username = str(credentials.get("username", ""))
    name = storable(username)[: LONGEST_LOGGED_NAME + 1]
    if len(name) > LONGEST_LOGGED_NAME:
        name = name[:LONGEST_LOGGED_NAME] + "…"
    name = "".join(each if each.isprintable() else "\ufffd" for each in name)
    address = request.META.get("REMOTE_ADDR") if request is not None else None
    facts = {"event": "sign_in_failed", "name_tried": name, "address": address}
    last = "; further tries are refused unseen for a while" if blocked(request, username) else ""
    logger.warning(f"sign-in failed for %(name_tried)s from %(address)s{last}", facts, extra=facts)


class ThrottledModelBackend(ModelBackend):
    """Django's own backend behind the counters, whichever form asks: the login page, the admin, anything later."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Raises PermissionDenied while blocked. An attempt counts before it is judged, so parallel guesses all count."""
        counters = _counters(request, username or "")
        if any(_wherever_counted(lambda cache: _exceeds(cache, counters))):
            if request is not None:
                request.refused_unseen = True  # type: ignore[attr-defined]
            raise PermissionDenied
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is not None:
            _wherever_counted(lambda cache: _forgive(cache, *counters))
        return user

    async def aauthenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        return await sync_to_async(self.authenticate)(request, username=username, password=password, **kwargs)
