"""Pages of the Hub: searching, repositories, the token, downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from inference.web.hub import remote_models
from inference.web.hub.disk_space import free_bytes_for_models, rooms
from inference.web.hub.remote_plan import USUAL_N_CTX_SEQ, USUAL_N_SEQ_MAX
from inference.web.hub.rows import found_view, variant_views
from inference.web.jobs.queries import job_rows
from inference.web.plans.what_if import CONTEXT_RANGE, SLOTS_RANGE, BadQuestion, read_changes
from inference.web.visibility.staff import staff_required
from models_app.catalog.access import usable_by, user_of
from models_app.hub import hub, hub_as
from models_app.hub.errors import Gated, HubError, NotOnHub, TokenRefused, Unreachable
from models_app.hub.named import repository_named
from models_app.hub.names import Contents, contents, local_name
from models_app.hub.records import RemoteRepository
from models_app.hub.sources import better_sources
from models_app.hub.token import BadToken, check_token, forget_token, is_readable, set_token, stored_token
from models_app.hub.wording import sentence
from models_app.intake.start_download import AlreadyInInventory, NoDigest, start_download
from models_app.models import Job, Shard, Variant
from models_app.units import format_bytes

if TYPE_CHECKING:
    from models_app.hub.session import Hub

LONGEST_QUERY = 200


def _client(request: HttpRequest) -> Hub:
    """The box's token may see what is private to its owner: members ask as strangers."""
    return hub(with_token=bool(request.user.is_staff))


# searching ----------------------------------------------------------------------------------------------------


@require_safe
def find(request: HttpRequest) -> HttpResponse:
    """`?q=…`, and `?again=1` to ask a Hub that was silent a moment ago. Blocks on the network."""
    words = request.GET.get("q", "").strip()[:LONGEST_QUERY]
    named = repository_named(words, settings.HUB_ENDPOINT)
    if named is not None and named.is_address:
        return redirect("hub-repository", named.owner, named.name)
    context: dict[str, Any] = {
        "words": words,
        "named": named,
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
            context["found"] = [found_view(each) for each in found if repository_named(each.name, "") is not None]
        except HubError as error:
            context |= {"problem": sentence(error), "is_offline": isinstance(error, Unreachable)}
    return render(request, "hub/find.html", context)


def _frame(request: HttpRequest) -> dict[str, Any]:
    """What both pages have: jobs under way, and of the token whose it is and its last four characters."""
    row = stored_token(settings.HUB_ENDPOINT) if request.user.is_staff else None
    return {
        "jobs": job_rows(user_of(request), most_ended=0),
        "endpoint": settings.HUB_ENDPOINT,
        "token": row,
        "token_is_unreadable": row is not None and not is_readable(row),
        "token_of_environment": row is None and bool(settings.HUB_TOKEN),
    }


@require_POST
@staff_required
def token(request: HttpRequest) -> HttpResponse:
    """`token` to be kept, or `forget`. Then back to `next`, a path of ours. Blocks on the network: a token is shown to the Hub first."""
    if "forget" in request.POST:
        if forget_token(settings.HUB_ENDPOINT, user_of(request)):
            messages.success(request, _("The token is forgotten. On the Hub's settings page you can revoke it, too."))
    else:
        _keep_token(request, request.POST.get("token", "").strip())
    return redirect(_back(request.POST.get("next", "")))


def _keep_token(request: HttpRequest, entered: str) -> None:
    """Keeps the token unless the Hub refuses it. A Hub that cannot be asked is no reason to lose what a person typed."""
    try:
        check_token(entered)
        account = hub_as(entered).whose()
        known = _("The Hub knows it as {account}'s.").format(account=account) if account else ""
    except BadToken as bad:
        messages.error(request, str(bad))
        return
    except TokenRefused:
        messages.error(
            request,
            _("The Hub does not accept this token, so it was not kept. Copy it again, or make a new one there."),
        )
        return
    except HubError as error:
        known = _("Whether the Hub accepts it could not be asked: {problem}").format(problem=sentence(error))
    row = set_token(settings.HUB_ENDPOINT, entered, user_of(request))
    kept = _("The token ending in {last} is kept, sealed. It is never shown again.").format(last=row.last_four)
    messages.success(request, f"{kept} {known}".rstrip())


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
            "wants_token": isinstance(error, (Gated, NotOnHub, TokenRefused)),
        }
        return render(request, "hub/repository.html", context, status=404 if isinstance(error, NotOnHub) else 200)
    now_named = repository_named(found.name, "")
    if found.name != full_name and now_named is not None:
        return redirect("hub-repository", now_named.owner, now_named.name)
    parts = contents(found.files)
    context |= {
        "found": found_view(found.found),
        "repository": found,
        "variants": variant_views(parts, rooms(parts), *_known(request.user, found, parts)),
        "others": parts.others,
        "refused": parts.refused,
        "free": format_bytes(free_bytes_for_models()),
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


def _known(user: Any, found: RemoteRepository, parts: Contents) -> tuple[dict[str, str], dict[str, int]]:
    """Names of variants that are here and that the person may know of, and the jobs of what is on its way; both by the first
    file's digest."""
    digests = [each.files[0].sha256 for each in parts.variants if each.files[0].sha256]
    known = Variant.objects.all() if user.is_staff else usable_by(user, Variant.objects.all())
    rows = Shard.objects.filter(sha256__in=digests, number=1, variant__in=known.filter(missing_since=None))
    here = dict(rows.values_list("sha256", "variant__name"))
    downloads = Job.objects.filter(kind="download", state__in=Job.ACTIVE, spec__repository=found.name)
    coming = {str(spec["files"][0]["sha256"]): pk for pk, spec in downloads.values_list("pk", "spec")}
    return here, coming


@require_safe
def sources(request: HttpRequest, owner: str, name: str) -> JsonResponse:
    """`?than=Q4_K_M`: `sources`, variants of the repository that are better to requantize from, best first. Blocks on the network.

    502 with a `detail` where the Hub does not tell.
    """
    try:
        found = remote_models.newest(_client(request), f"{owner}/{name}")
    except HubError as error:
        return JsonResponse({"detail": sentence(error)}, status=502)
    better = better_sources(contents(found.files), request.GET.get("than", ""))
    rows = [{"quantization": each.quantization, "size": format_bytes(each.size_bytes)} for each in better]
    return JsonResponse({"sources": rows})


# fetching -----------------------------------------------------------------------------------------------------


@require_POST
@staff_required
def download(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """`revision` and `key` of a variant. Sizes and digests are the Hub's, never the form's. Blocks on the network."""
    full_name = f"{owner}/{name}"
    back = redirect("hub-repository", owner, name)
    try:
        found = remote_models.at_or_newest(_client(request), full_name, request.POST.get("revision", ""))
    except HubError as error:
        messages.error(request, sentence(error))
        return back
    key = request.POST.get("key", "")
    variant = next((each for each in contents(found.files).variants if each.key == key), None)
    if variant is None:
        messages.error(request, _("The repository has no such variant any more. Look again."))
        return back
    try:
        job = start_download(found.name, found.revision, local_name(found.name, key), variant.files, user_of(request))
    except NoDigest as none:
        messages.error(
            request,
            _("The Hub has no digest of {file}, so nobody could tell whether it came whole. Not downloaded.").format(
                file=none.path
            ),
        )
    except AlreadyInInventory as here:
        messages.info(request, _("It is here already, as {variant}.").format(variant=here.variant.name))
    except ValidationError as unfit:
        messages.error(request, " ".join(unfit.messages))
    else:
        messages.success(request, _("{job}: started. It goes on when you leave this page.").format(job=job.title))
    return back
