"""Finding models on the Hub: searching, what a repository has and what each of it would be on this box, the token, downloads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from inference import remote_models
from inference.core.recommend import recommend
from inference.host.client import HostClient, HostRefusal, HostUnavailable
from inference.host.messages import HostStatus
from inference.hub_presentation import found_view, variant_views
from inference.job_store import job_rows
from inference.remote_plan import (
    USUAL_N_CTX_SEQ,
    USUAL_N_SEQ_MAX,
    RemotePlan,
    candidate,
    plan_remote,
    plan_row,
    recommended_row,
    unplanned_row,
)
from inference.what_if import CONTEXT_RANGE, SLOTS_RANGE, BadQuestion, Changes, read_changes
from models_app.downloads.space import Room, free_bytes
from models_app.downloads.starting import Here, NoDigest, start_download
from models_app.facts import NotAModel
from models_app.gguf import BadGguf
from models_app.hardware import Profile
from models_app.hardware.inventory import this_machine
from models_app.hardware.pools import with_ram_budget
from models_app.hub import hub
from models_app.hub.access import BadToken, forget_token, is_readable, set_token, stored_token
from models_app.hub.errors import Gated, HubError, NotFound, TokenRefused, Unreachable
from models_app.hub.names import Contents, RemoteVariant, contents, local_name
from models_app.hub.records import RemoteRepository
from models_app.hub.wording import sentence
from models_app.models import Job, Shard

if TYPE_CHECKING:
    from models_app.hub.session import Hub

HOST_ANSWERS_WITHIN_SECONDS = 1.0
LONGEST_QUERY = 200
HEADERS_AT_ONCE = 3
_readers = ThreadPoolExecutor(HEADERS_AT_ONCE, thread_name_prefix="hub-plan")
"""For all pages together: parsing a header is this process's own time."""

T = TypeVar("T")


def _client(request: HttpRequest) -> Hub:
    """The box's token may see what is private to its owner: members ask as strangers."""
    return hub(with_token=bool(request.user.is_staff))


# searching ----------------------------------------------------------------------------------------------------


@require_safe
def find(request: HttpRequest) -> HttpResponse:
    """`?q=…`, and `?again=1` to ask a Hub that was silent a moment ago. Blocks on the network."""
    words = request.GET.get("q", "").strip()[:LONGEST_QUERY]
    context: dict[str, Any] = {
        "words": words,
        "found": None,
        "problem": "",
        "is_offline": False,
        "again": f"?{urlencode({'q': words, 'again': 1})}",
        **_frame(request),
    }
    if words:
        try:
            client = _client(request)
            found = remote_models.ask(client, lambda: client.search(words), again="again" in request.GET)
            context["found"] = [found_view(each) for each in found]
        except HubError as error:
            context |= {"problem": sentence(error), "is_offline": isinstance(error, Unreachable)}
    return render(request, "hub/find.html", context)


def _frame(request: HttpRequest) -> dict[str, Any]:
    """What both pages have: jobs that are under way; of the token that there is one, whose, and its last four characters."""
    row = stored_token(settings.HUB_ENDPOINT) if request.user.is_staff else None
    return {
        "jobs": job_rows(request.user, most_ended=0),
        "endpoint": settings.HUB_ENDPOINT,
        "token": row,
        "token_is_unreadable": row is not None and not is_readable(row),
        "token_of_environment": row is None and bool(settings.HUB_TOKEN),
    }


@require_POST
def token(request: HttpRequest) -> HttpResponse:
    """`token` to be kept, or `forget`. Then back to `next`, a path of ours."""
    if not request.user.is_staff:
        raise PermissionDenied
    if "forget" in request.POST:
        if forget_token(settings.HUB_ENDPOINT, request.user):
            messages.success(request, "The token is forgotten. On the Hub's settings page you can revoke it, too.")
    else:
        try:
            row = set_token(settings.HUB_ENDPOINT, request.POST.get("token", ""), request.user)
            messages.success(request, f"The token ending in {row.last_four} is kept, sealed. It is never shown again.")
        except BadToken as bad:
            messages.error(request, str(bad))
    return redirect(_back(request.POST.get("next", "")))


def _back(path: str) -> str:
    """Pages of this part only: whatever else a form says leads to the search."""
    owned = reverse("hub-find").removesuffix("find/")
    return path if path.startswith(owned) and "//" not in path and "\\" not in path else f"{owned}find/"


# one repository -----------------------------------------------------------------------------------------------


@require_safe
def repository(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """`?ctx=…&slots=…` for the plans. Blocks on the network; the plans come by `plans`."""
    full_name = f"{owner}/{name}"
    context: dict[str, Any] = {"owner": owner, "name": name, "full_name": full_name, **_frame(request)}
    try:
        found = remote_models.newest(_client(request), full_name, again="again" in request.GET)
    except HubError as error:
        context |= {
            "problem": sentence(error),
            "is_offline": isinstance(error, Unreachable),
            "wants_token": isinstance(error, (Gated, NotFound, TokenRefused)),
        }
        return render(request, "hub/repository.html", context, status=404 if isinstance(error, NotFound) else 200)
    parts = contents(found.files)
    context |= {
        "found": found_view(found.found),
        "repository": found,
        "variants": variant_views(parts, _rooms(parts), *_known(found, parts)),
        "others": parts.others,
        "refused": parts.refused,
        **_asked(request),
    }
    return render(request, "hub/repository.html", context)


def _asked(request: HttpRequest) -> dict[str, Any]:
    """The planning form as it was sent, and what is wrong with it."""
    problems: dict[str, str] = {}
    try:
        read_changes(request.GET)
    except BadQuestion as bad:
        problems = bad.problems
    return {
        "asked": {
            "ctx": request.GET.get("ctx") or USUAL_N_CTX_SEQ,
            "slots": request.GET.get("slots") or USUAL_N_SEQ_MAX,
        },
        "ranges": {"ctx": CONTEXT_RANGE, "slots": SLOTS_RANGE},
        "problems": problems,
    }


def _rooms(parts: Contents) -> dict[str, Room]:
    """By key. What other downloads still have to bring is not free."""
    folder = settings.MODELS_DIR
    free = free_bytes(next(each for each in (folder, *folder.parents) if each.exists()))
    for total, done in Job.objects.filter(kind="download", state__in=Job.ACTIVE).values_list("total", "done"):
        free -= max(0, (total or 0) - done)
    return {each.key: Room(max(0, free), each.size_bytes, settings.DISK_RESERVE_BYTES) for each in parts.variants}


def _known(found: RemoteRepository, parts: Contents) -> tuple[dict[str, str], dict[str, int]]:
    """Names of variants that are here, and the jobs of what is on its way; both by the first file's digest."""
    digests = [each.files[0].sha256 for each in parts.variants if each.files[0].sha256]
    rows = Shard.objects.filter(sha256__in=digests, number=1, variant__missing_since=None)
    here = dict(rows.values_list("sha256", "variant__name"))
    downloads = Job.objects.filter(kind="download", state__in=Job.ACTIVE, spec__repository=found.name)
    coming = {str(spec["files"][0]["sha256"]): pk for pk, spec in downloads.values_list("pk", "spec")}
    return here, coming


# plans --------------------------------------------------------------------------------------------------------


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
        found = await _read(lambda: _at(client, f"{owner}/{name}", request.GET.get("revision", "")))
    except HubError as error:
        return JsonResponse({"type": "problem", "sentence": sentence(error)})
    parts = contents(found.files)
    rooms = await sync_to_async(_rooms)(parts)
    lines = _lines(client, found, parts, profile, changes, rooms, await _host_status())
    return StreamingHttpResponse(
        lines, content_type="application/x-ndjson", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


def _planning(is_staff: bool) -> tuple[Hub, Profile]:
    return hub(with_token=is_staff), with_ram_budget(this_machine().profile(), settings.BUDGET_BYTES)


def _at(client: Hub, name: str, revision: str) -> RemoteRepository:
    return remote_models.at_revision(client, name, revision) if revision else remote_models.newest(client, name)


async def _read(question: Callable[[], T]) -> T:
    """Off the event loop, a few at a time."""
    return await asyncio.get_running_loop().run_in_executor(_readers, question)


async def _lines(
    client: Hub,
    found: RemoteRepository,
    parts: Contents,
    profile: Profile,
    changes: Changes,
    rooms: dict[str, Room],
    status: HostStatus | None,
) -> AsyncIterator[str]:
    made: dict[str, RemotePlan] = {}
    refusals: list[HubError] = []

    def plan(variant: RemoteVariant) -> dict[str, Any]:
        try:
            if refusals:
                raise refusals[0]
            made[variant.key] = plan_remote(remote_models.told_of(client, found, variant), profile, changes, status)
        except (Gated, TokenRefused, Unreachable) as error:
            # As for this one, so for all others.
            refusals.append(error)
            return dict(unplanned_row(variant.key, sentence(error)))
        except HubError as error:
            return dict(unplanned_row(variant.key, sentence(error)))
        except (BadGguf, NotAModel) as error:
            return dict(unplanned_row(variant.key, f"Its header cannot be used: {error}."))
        return dict(plan_row(variant.key, made[variant.key]))

    tasks = [asyncio.ensure_future(_read(lambda variant=each: plan(variant))) for each in parts.variants]
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


async def _host_status() -> HostStatus | None:
    """None where the host does not answer."""
    try:
        return await asyncio.wait_for(HostClient(settings.HOST_SOCKET).status(), HOST_ANSWERS_WITHIN_SECONDS)
    except (HostUnavailable, HostRefusal, asyncio.TimeoutError):
        return None


# fetching -----------------------------------------------------------------------------------------------------


@require_POST
def download(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """`revision` and `key` of a variant. Sizes and digests are the Hub's, never the form's. Blocks on the network."""
    if not request.user.is_staff:
        raise PermissionDenied
    full_name = f"{owner}/{name}"
    back = redirect("hub-repository", owner, name)
    try:
        found = _at(_client(request), full_name, request.POST.get("revision", ""))
    except HubError as error:
        messages.error(request, sentence(error))
        return back
    key = request.POST.get("key", "")
    variant = next((each for each in contents(found.files).variants if each.key == key), None)
    if variant is None:
        messages.error(request, "The repository has no such variant any more. Look again.")
        return back
    try:
        job = start_download(full_name, found.revision, local_name(full_name, key), variant.files, request.user)
    except NoDigest as none:
        messages.error(
            request,
            f"The Hub has no digest of {none.path}, so nobody could tell whether it came whole. Not downloaded.",
        )
    except Here as here:
        messages.info(request, f"It is here already, as {here.variant.name}.")
    except ValidationError as unfit:
        messages.error(request, " ".join(unfit.messages))
    else:
        messages.success(request, f"{job.title}: begun. It goes on when you leave this page.")
    return back
