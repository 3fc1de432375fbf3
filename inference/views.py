"""Pages: parse, ask, present. Their first paint is made of the same payloads as the chat socket's frames."""

from __future__ import annotations

from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from inference import store
from inference.dashboard import model_row, page
from inference.host_feed import host_watch
from inference.turns import turns


@login_required
@require_safe
async def dashboard(request: HttpRequest) -> HttpResponse:
    """What the box is doing. Context: `state` (telemetry_messages.Backlog, or None), `page` (dashboard.Page, or None), `models`
    (dashboard.ModelRow) and `names` (of variants, by id, for the page's script)."""
    feed, user = turns().feed, await request.auser()
    await feed.start()
    state = await host_watch().state()
    rows = feed.variants["rows"]
    names = {row["id"]: row["name"] for row in rows}
    context = {
        "state": state,
        "page": None if state is None else page(state, user.pk),
        "models": [model_row(row["id"], row["name"], row["size_bytes"], row["trouble"], state) for row in rows],
        "names": names,
    }
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
        "variants": await running.variants(user.pk),
        "conversation": shown,
    }
    return await sync_to_async(render)(request, "chat.html", context)
