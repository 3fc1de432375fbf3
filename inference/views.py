"""Pages: parse, ask, present. Their first paint is made of the same payloads as the chat socket's frames."""

from __future__ import annotations

import asyncio
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from inference import store
from inference.host.client import HostRefusal, HostUnavailable
from inference.host.messages import HostStatus
from inference.turns import turns

HOST_ANSWERS_WITHIN_SECONDS = 1.0


async def _host_status() -> HostStatus | None:
    """None where the host does not answer."""
    try:
        return await asyncio.wait_for(turns().client.status(), HOST_ANSWERS_WITHIN_SECONDS)
    except (HostUnavailable, HostRefusal, asyncio.TimeoutError):
        return None


@login_required
@require_safe
async def dashboard(request: HttpRequest) -> HttpResponse:
    """What is in memory. Context: `status` (host.messages.HostStatus, or None), `variants` (chat_protocol.Variants)."""
    feed = turns().feed
    await feed.start()
    context = {"status": await _host_status(), "variants": feed.variants}
    return await sync_to_async(render)(request, "dashboard.html", context)


@login_required
@require_safe
async def chat(request: HttpRequest, conversation: UUID | None = None) -> HttpResponse:
    """The chat page. Context: `conversations`, `variants` and `conversation` (or None), as in inference.chat_protocol."""
    user = await request.auser()
    running = turns()
    await running.feed.start()
    try:
        shown = None if conversation is None else await running.conversation(user.pk, conversation)
    except store.NotFound:
        raise Http404("There is no such conversation.") from None
    context = {
        "conversations": {"type": "conversations", "rows": await running.conversation_rows(user.pk)},
        "variants": running.feed.variants,
        "conversation": shown,
    }
    return await sync_to_async(render)(request, "chat.html", context)
