"""Staff load, unload and pin variants from the dashboard and from a variant's page; before a load they are told what it would do.

The page's script asks for JSON; without it the same addresses are a page and forms.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypedDict

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_http_methods

from inference.core.loads.purposes import PURPOSES, Purpose
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.preview import Preview
from inference.host.api.client import HostClient, HostRefusal, HostUnavailable
from inference.web.crossing import background_host
from inference.web.visibility.queries import visibility_for
from inference.wording import previews, refusals
from inference.wording.names import Name
from models_app.audit import CHANGE, record
from models_app.models import Variant

STAFF_ONLY = gettext_lazy("Only whoever runs this box may do that.")
AWAY = gettext_lazy("The model host does not answer. Try again in a moment.")

_NOTES = {
    "load": "Load asked for.",
    "load-anyway": "Load asked for, before everybody who waits.",
    "unload": "Unload asked for.",
    "pin": "Pinned.",
    "unpin": "Unpinned.",
}


class LoadQuestion(TypedDict):
    """What is asked before a load."""

    variant_id: int
    name: str
    sentence: str
    may_anyway: bool
    """Whether it would have to wait, and "load anyway" might wait less."""
    instead: str
    """What "load anyway" would do; "" where that is told in the same words."""
    load_words: str
    """On the button; "" where there is nothing to press."""


def load_question(found: Preview, instead: Preview | None, name: Name) -> LoadQuestion:
    """`instead`: the preview of "load anyway", where loading would have to wait."""
    sentence = previews.sentence(found, name)
    others = sentence if instead is None else previews.sentence(instead, name)
    words = {"fits": gettext("Load"), "evicts": gettext("Load"), "waits": gettext("Load when there is room")}
    return {
        "variant_id": found.resident_id.variant_id,
        "name": name(found.resident_id),
        "sentence": sentence,
        "may_anyway": instead is not None,
        "instead": "" if others == sentence else others,
        "load_words": words.get(found.outcome, ""),
    }


@require_http_methods(["GET", "HEAD", "POST"])
async def residency(request: HttpRequest, variant_id: int) -> HttpResponse:
    """GET: a LoadQuestion. POST `action`: load, load-anyway, unload, pin or unpin; 200 done, 202 begun. With `?purpose=imatrix` it is
    of the worker that reads for a job, which may be unloaded.

    Otherwise `detail` says what to do.
    """
    if not (await request.auser()).is_staff:
        return await _said(request, {"detail": str(STAFF_ONLY)}, 403)
    client = HostClient(settings.HOST_SOCKET)
    name = (await sync_to_async(visibility_for)(await request.auser())).name
    purpose = _purpose(request)
    if purpose is None:
        return await _said(request, {"detail": gettext("There is no such action.")}, 400)
    resident_id = ResidentId(variant_id, purpose)
    try:
        if request.method != "POST":
            return await _said(request, {"question": await _question(client, variant_id, name)}, 200)
        asked = _asked(client, request.POST.get("action", ""), resident_id)
        if asked is None:
            return await _said(request, {"detail": gettext("There is no such action.")}, 400)
        is_done = await background_host.start_and_wait(asked)
        await _note(await request.auser(), variant_id, request.POST["action"])
    except HostRefusal as refusal:
        detail = refusals.sentence(refusal.facts, resident_id, name)
        return await _said(request, {"detail": detail}, 404 if refusal.code == "unknown_variant" else 409)
    except HostUnavailable:
        return await _said(request, {"detail": str(AWAY)}, 503)
    return JsonResponse({}, status=200 if is_done else 202) if _wants_json(request) else redirect(_back(request))


async def _question(client: HostClient, variant_id: int, name: Name) -> LoadQuestion:
    found = await client.preview(variant_id)
    instead = await client.preview(variant_id, anyway=True) if found.outcome == "waits" else None
    return load_question(found, None if instead is not None and instead.outcome == "cannot" else instead, name)


@sync_to_async
def _note(user: Any, variant_id: int, action: str) -> None:
    """What was asked for and begun; what became of it stands in the host's own log."""
    record(list(Variant.objects.filter(pk=variant_id)), user.pk, CHANGE, _NOTES[action])


def _asked(client: HostClient, action: str, resident_id: ResidentId) -> Coroutine[Any, Any, None] | None:
    """None for an action that there is not."""
    variant_id, purpose = resident_id.variant_id, resident_id.purpose
    match action:
        case "unload":
            return client.unload(variant_id, purpose)
        case _ if purpose != "chat":
            return None
        case "load" | "load-anyway":
            return client.load(variant_id, anyway=action == "load-anyway")
        case "pin" | "unpin":
            return client.pin(variant_id, action == "pin")
    return None


def _purpose(request: HttpRequest) -> Purpose | None:
    """None for one that there is not, and for a question about a worker that nobody loads by hand."""
    wanted = request.GET.get("purpose", "chat")
    known = PURPOSES if request.method == "POST" else ("chat",)
    return next((each for each in known if each == wanted), None)


def _back(request: HttpRequest) -> str:
    """The page that the form stands on, as it says; the dashboard without it."""
    back = request.POST.get("back") or request.GET.get("back", "")
    is_ours = back.startswith("/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return back if is_ours else reverse("dashboard")


def _wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


async def _said(request: HttpRequest, content: dict[str, Any], status: int) -> HttpResponse:
    """`question` or `detail`, as JSON or as a page."""
    response: HttpResponse
    if _wants_json(request):
        response = JsonResponse(content.get("question", content), status=status)
    else:
        response = await sync_to_async(render)(
            request, "dashboard/load.html", {**content, "back": _back(request)}, status=status
        )
    patch_vary_headers(response, ["Accept"])
    return response
