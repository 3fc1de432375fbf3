"""Streams the plans of a repository's variants as they are found: each takes a look at a header that is far away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from inference.core.planning.recommend import recommend
from inference.host.api.messages import HostStatus
from inference.web.hub import disk_space, remote_models
from inference.web.hub.remote_plan import RemotePlan, candidate, plan_remote, plan_row, recommended_row, unplanned_row
from inference.web.plans.what_if import BadQuestion, WhatIfChanges, read_changes, unforeseen
from inference.web.visibility.queries import status_for
from models_app.catalog.read_files import NotAModel
from models_app.gguf import BadGguf
from models_app.hardware import Profile
from models_app.hub import hub
from models_app.hub.errors import ConnectionDropped, Gated, HubError, RateLimited, TokenRefused, Unreachable
from models_app.hub.names import Contents, RemoteVariant, contents
from models_app.hub.records import RemoteRepository
from models_app.hub.wording import sentence
from models_app.intake.space import DiskSpace
from models_app.machines.this_machine_row import this_box

if TYPE_CHECKING:
    from models_app.hub.session import Hub

HEADERS_AT_ONCE = 3
_readers = ThreadPoolExecutor(HEADERS_AT_ONCE, thread_name_prefix="hub-plan")
"""For all pages together: parsing a header is this process's own time."""

T = TypeVar("T")


@login_required
@require_safe
async def plans(request: HttpRequest, owner: str, name: str) -> HttpResponseBase:
    """`?revision=…&ctx=…&slots=…`: a line of JSON for each variant as its header was read, a PlanRow; last a RecommendedRow.

    `{"type": "problem", "sentence": …}` where the repository cannot be read.
    """
    try:
        changes = read_changes(request.GET)
    except BadQuestion as bad:
        return JsonResponse({"problems": bad.problems}, status=400)
    user = await request.auser()
    client, profile = await sync_to_async(_planning)(bool(user.is_staff))
    try:
        found = await _read(
            lambda: remote_models.at_or_newest(client, f"{owner}/{name}", request.GET.get("revision", ""))
        )
    except HubError as error:
        return JsonResponse({"type": "problem", "sentence": sentence(error)})
    parts = contents(found.files)
    rooms = await sync_to_async(disk_space.rooms)(parts)
    lines = _lines(client, found, parts, profile, changes, rooms, await sync_to_async(status_for)(user))
    return StreamingHttpResponse(
        lines, content_type="application/x-ndjson", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


def _planning(is_staff: bool) -> tuple[Hub, Profile]:
    return hub(with_token=is_staff), this_box()


async def _read(question: Callable[[], T]) -> T:
    """Off the event loop, a few at a time."""
    return await asyncio.get_running_loop().run_in_executor(_readers, question)


async def _lines(
    client: Hub,
    found: RemoteRepository,
    parts: Contents,
    profile: Profile,
    changes: WhatIfChanges,
    rooms: dict[str, DiskSpace],
    status: HostStatus | None,
) -> AsyncIterator[str]:
    made: dict[str, RemotePlan] = {}
    refusals: list[HubError] = []
    siblings = remote_models.siblings_of(client, found)

    def plan(variant: RemoteVariant) -> dict[str, Any]:
        try:
            if refusals:
                raise refusals[0]
            estimates = remote_models.estimates_of(client, found, variant, siblings)
            placed = plan_remote(estimates, profile, changes, status)
            row = plan_row(variant.key, placed)
        except HubError as error:
            if isinstance(error, (Gated, RateLimited, TokenRefused, Unreachable)) and not isinstance(
                error, ConnectionDropped
            ):
                # As for this one, so for all others.
                refusals.append(error)
            return dict(unplanned_row(variant.key, sentence(error)))
        except (BadGguf, NotAModel) as error:
            return dict(unplanned_row(variant.key, _("Its header cannot be used: {problem}.").format(problem=error)))
        except Exception as error:
            return dict(unplanned_row(variant.key, unforeseen(variant.key, error).detail))
        made[variant.key] = placed
        return dict(row)

    tasks = [asyncio.ensure_future(_read(partial(plan, each))) for each in parts.variants]
    try:
        for finished in asyncio.as_completed(tasks):
            yield json.dumps(await finished) + "\n"
    finally:
        for task in tasks:
            task.cancel()
    sizes = {each.key: each.size_bytes for each in parts.variants}
    names = {each.key: each.quantization or each.key for each in parts.variants}
    candidates = [candidate(key, sizes[key], each, not rooms[key].lacking_bytes) for key, each in made.items()]
    yield json.dumps(recommended_row(recommend(candidates), made, names)) + "\n"
