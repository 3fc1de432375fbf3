"""The chat page. Its first paint is made of the same payloads as its socket's frames."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from inference.web.chat import store
from inference.web.chat.protocol import Variants
from inference.web.chat.turns import Turns, turns
from inference.web.crossing.database_thread import StorageFailed
from inference.web.visibility.signed_in import user_id_of


@login_required
@require_safe
async def chat(request: HttpRequest, conversation: UUID | None = None) -> HttpResponse:
    """The chat page. `?model=NAME`: to be picked. Context: `conversations`, `variants` and `conversation` (or None), as in
    inference.web.chat.protocol, and `named`, the id of the model to be picked (or None).
    """
    user_id = await user_id_of(request)
    running = turns()
    await running.feed.start()
    variants, named = await _offered(running, user_id, request.GET.get("model", ""))
    try:
        shown = None if conversation is None else await running.conversation(user_id, conversation)
    except store.NotFound:
        raise Http404(gettext("There is no such conversation.")) from None
    context = {
        "conversations": {"type": "conversations", "rows": await running.conversation_rows(user_id)},
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
