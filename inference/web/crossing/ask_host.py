"""Asks the host from synchronous code: a form's view, an action of the admin, a command. Blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from asgiref.sync import async_to_sync
from django.conf import settings

from inference.host.api.client import HostClient, HostRefusal, HostUnavailable
from inference.host.api.messages import HostStatus

ANSWERS_WITHIN_SECONDS = 1.0

_T = TypeVar("_T")


class AnswersTooLate(HostUnavailable):
    """The host runs, and did not answer within the time."""


def call(
    question: Callable[[HostClient], Coroutine[Any, Any, _T]], within_seconds: float | None = ANSWERS_WITHIN_SECONDS
) -> _T:
    """The host's answer. Raises HostRefusal, HostUnavailable, AnswersTooLate.

    `within_seconds`: None for as long as it takes, until Ctrl-C on the console."""

    async def asked() -> _T:
        return await asyncio.wait_for(question(HostClient(settings.HOST_SOCKET)), within_seconds)

    try:
        if threading.current_thread() is threading.main_thread():
            # async_to_sync's loop would run in another thread, which Ctrl-C does not end.
            return asyncio.run(asked())
        return async_to_sync(asked)()
    except asyncio.TimeoutError:
        raise AnswersTooLate(f"the host did not answer within {within_seconds:g} s") from None


def status_now() -> HostStatus | None:
    """None where the host does not answer."""
    try:
        return call(lambda client: client.status())
    except (HostUnavailable, HostRefusal):
        return None
