"""`/healthz`: one entry per process, for people's monitors and for `manage.py serve`."""

from __future__ import annotations

import asyncio
from typing import Literal, TypedDict

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, JsonResponse

from inference.host.api.client import HostClient, HostRefusal, HostUnavailable
from models_app.jobs.heartbeat import jobs_beat

HOST_ANSWERS_WITHIN_SECONDS = 2.0


class ProcessHealth(TypedDict):
    state: Literal["ok", "down"]


async def host_answers() -> bool:
    """Whether the host answers a status request in time: its loop lives, not only its socket."""
    try:
        await asyncio.wait_for(HostClient(settings.HOST_SOCKET).status(), HOST_ANSWERS_WITHIN_SECONDS)
    except (HostUnavailable, HostRefusal, asyncio.TimeoutError):
        return False
    return True


@login_not_required
async def healthz(request: HttpRequest) -> JsonResponse:
    """200 when every process is ok, else 503; the body says which. Tells a stranger nothing else."""
    up = {"web": True, "host": await host_answers(), "jobs": jobs_beat()}
    processes: dict[str, ProcessHealth] = {name: {"state": "ok" if ok else "down"} for name, ok in up.items()}
    well = all(up.values())
    return JsonResponse(
        {"status": "ok" if well else "degraded", "processes": processes},
        status=200 if well else 503,
        headers={"Cache-Control": "no-store"},
    )
