"""The dashboard. Its first paint is made of the same payloads as its socket's frames."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from inference.web.chat.turns import turns
from inference.web.dashboard.feed import host_watch
from inference.web.dashboard.rows import model_row, page
from inference.web.visibility.redaction import told_to
from inference.web.visibility.signed_in import user_id_of
from inference.web.visibility.visibility import discretion_for


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
        "page": None if state is None else page(state, await user_id_of(request)),
        "models": [model_row(row["id"], row["name"], row["size_bytes"], row["trouble"], state) for row in rows],
        "names": names,
    }
    return await sync_to_async(render)(request, "dashboard/page.html", context)
