"""The dashboard. Its first paint is made of the same payloads as its socket's frames."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from inference.web.dashboard.feed import telemetry_feed
from inference.web.dashboard.frames import worded
from inference.web.dashboard.rows import model_row, page
from inference.web.visibility.offered import offered_variants
from inference.web.visibility.queries import visibility_for
from inference.web.visibility.signed_in import user_id_of


@login_required
@require_safe
async def dashboard(request: HttpRequest) -> HttpResponse:
    """What the box is doing. Context: `state` (frames.BrowserBacklog, or None), `page` (rows.Page, or None), `models`
    (rows.LoadableRow) and `names` (of variants, by id, for the page's script)."""
    visibility = await sync_to_async(visibility_for)(await request.auser())
    telemetry = await telemetry_feed().state()
    state = None if telemetry is None else worded(telemetry, visibility)
    offered = [each for each in await offered_variants() if visibility.may_name((each.pk,))]
    context = {
        "state": state,
        "page": None if state is None else page(state, await user_id_of(request)),
        "models": [model_row(each.pk, each.name, each.size_bytes, each.unusable_reason, state) for each in offered],
        "names": {each.pk: each.name for each in offered},
    }
    return await sync_to_async(render)(request, "dashboard/page.html", context)
