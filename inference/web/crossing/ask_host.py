"""Asking the host from synchronous code, such as a form's view or an action of the admin. Blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from asgiref.sync import async_to_sync
from django.conf import settings

from inference.host.api.client import HostClient, HostRefusal, HostUnavailable
from inference.host.api.messages import HostStatus

ANSWERS_WITHIN_SECONDS = 1.0

_T = TypeVar("_T")


def call(
    question: Callable[[HostClient], Coroutine[Any, Any, _T]], within_seconds: float = ANSWERS_WITHIN_SECONDS
) -> _T:
    """The host's answer. Raises HostRefusal, HostUnavailable; the latter also where it takes longer than that."""

    async def asked() -> _T:
        return await asyncio.wait_for(question(HostClient(settings.HOST_SOCKET)), within_seconds)

    try:
        return async_to_sync(asked)()
    except asyncio.TimeoutError:
        raise HostUnavailable(f"the host did not answer within {within_seconds:g} s") from None


def status_now() -> HostStatus | None:
    """None where the host does not answer."""
    try:
        return call(lambda client: client.status())
    except (HostUnavailable, HostRefusal):
        return None
