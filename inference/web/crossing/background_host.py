"""What the host was asked for and takes longer than anybody should look at a pressed button: it goes on behind the answered page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings

from inference.host.api.client import HostClient, HostRefusal, HostUnavailable

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0

Question = Callable[[HostClient], Coroutine[Any, Any, None]]

_running: set[asyncio.Task[None]] = set()


async def start_and_wait(asked: Coroutine[Any, Any, None]) -> bool:
    """Whether it is done already. Raises HostRefusal, HostUnavailable; what comes later stands in the reason log."""
    # The host drops a request whose connection closes, so it outlives this answer.
    task = asyncio.create_task(asked)
    _running.add(task)
    task.add_done_callback(_ended)
    try:
        await asyncio.wait_for(asyncio.shield(task), ANSWER_SECONDS)
    except asyncio.TimeoutError:
        return False
    return True


def start_all(questions: Sequence[Question]) -> list[bool | HostRefusal | HostUnavailable]:
    """Asks all at once from synchronous code: of each whether it is done already, or why it was not even started. Blocks for a moment.

    In a view that asyncio's server runs, what was started goes on there.
    """

    async def asked() -> list[bool | HostRefusal | HostUnavailable]:
        client = HostClient(settings.HOST_SOCKET)
        return list(await asyncio.gather(*(_outcome(question(client)) for question in questions)))

    return async_to_sync(asked)()


async def _outcome(asked: Coroutine[Any, Any, None]) -> bool | HostRefusal | HostUnavailable:
    try:
        return await start_and_wait(asked)
    except (HostRefusal, HostUnavailable) as error:
        return error


def _ended(task: asyncio.Task[None]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.info("not done: %s", error)
