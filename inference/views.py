"""Pages: parse, ask, present. Their first paint is made of the same payloads as the chat socket's frames."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from inference import store
from inference.chat_protocol import Variants
from inference.dashboard import model_row, page
from inference.database_thread import StorageFailed
from inference.discretion import told_to
from inference.discretion_store import discretion_for
from inference.host_feed import host_watch
from inference.turns import Turns, turns


@login_required
@require_safe
async def dashboard(request: HttpRequest) -> HttpResponse:
    """What the box is doing. Context: `state` (telemetry_messages.Backlog, or None), `page` (dashboard.Page, or None), `models`
    (dashboard.ModelRow) and `names` (of variants, by id, for the page's script)."""
    feed, user = turns().feed, await request.auser()
    await feed.start()
    discretion = await sync_to_async(discretion_for)(user)
    state = await host_watch().state()
    state = None if state is None else told_to(discretion, state)
    rows = [row for row in feed.variants["rows"] if discretion.instead(row["id"]) is None]
    names = {row["id"]: row["name"] for row in rows}
    context = {
        "state": state,
        "page": None if state is None else page(state, user.pk),
        "models": [model_row(row["id"], row["name"], row["size_bytes"], row["trouble"], state) for row in rows],
        "names": names,
    }
    return await sync_to_async(render)(request, "dashboard/page.html", context)


@login_required
@require_safe
async def chat(request: HttpRequest, conversation: UUID | None = None) -> HttpResponse:
    """The chat page. `?model=NAME`: to be picked. Context: `conversations`, `variants` and `conversation` (or None), as in
    inference.chat_protocol, and `named`, the id of the model to be picked (or None).
    """
    user = await request.auser()
    running = turns()
    await running.feed.start()
    variants, named = await _offered(running, user.pk, request.GET.get("model", ""))
    try:
        shown = None if conversation is None else await running.conversation(user.pk, conversation)
    except store.NotFound:
        raise Http404("There is no such conversation.") from None
    context = {
        "conversations": {"type": "conversations", "rows": await running.conversation_rows(user.pk)},
        "variants": variants,
        "conversation": shown,
        "named": named,
    }
    return await sync_to_async(render)(request, "chat/page.html", context)


async def _offered(running: Turns, user_id: int, name: str) -> tuple[Variants, int | None]:
    """What the person may pick, and of that the id of the model so named: also of one that was made a moment ago."""
    variants = await running.variants(user_id)
    named = _id_of(name, variants)
    if name and named is None:
        with suppress(StorageFailed):
            await running.feed.refresh(even_if_fresh=True)
        variants = await running.variants(user_id)
        named = _id_of(name, variants)
    return variants, named


def _id_of(name: str, variants: Variants) -> int | None:
    return next((row["id"] for row in variants["rows"] if row["name"] == name), None)
