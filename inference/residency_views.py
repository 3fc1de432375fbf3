"""Staff load, unload and pin variants from the dashboard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_POST

from inference.host.client import HostClient, HostRefusal, HostUnavailable
from inference.turns import turns

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0
"""A load takes longer than anybody should look at a pressed button: what comes later stands in the reason log."""

_running: set[asyncio.Task[None]] = set()


def _asked(client: HostClient, action: str, variant_id: int) -> Coroutine[Any, Any, None] | None:
    """None for an action that there is not."""
    match action:
        case "load":
            return client.load(variant_id)
        case "unload":
            return client.unload(variant_id)
        case "pin" | "unpin":
            return client.pin(variant_id, action == "pin")
    return None


@require_POST
async def act(request: HttpRequest, variant_id: int) -> JsonResponse:
    """`action`: load, unload, pin or unpin. 200 done, 202 begun, else `detail` says what to do."""
    if not (await request.auser()).is_staff:
        return JsonResponse({"detail": "Only whoever runs this box may do that."}, status=403)
    asked = _asked(turns().client, request.POST.get("action", ""), variant_id)
    if asked is None:
        return JsonResponse({"detail": "There is no such action."}, status=400)
    # The host drops a request whose connection closes, so it outlives this answer.
    task = asyncio.create_task(asked)
    _running.add(task)
    task.add_done_callback(_ended)
    try:
        await asyncio.wait_for(asyncio.shield(task), ANSWER_SECONDS)
    except asyncio.TimeoutError:
        return JsonResponse({}, status=202)
    except HostRefusal as refusal:
        return JsonResponse({"detail": refusal.detail}, status=409)
    except HostUnavailable:
        return JsonResponse({"detail": "The model host does not answer. Try again in a moment."}, status=503)
    return JsonResponse({})


def _ended(task: asyncio.Task[None]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.info("not done: %s", error)
