"""`/jobs/`: all jobs, one job with its log and actions; for staff the download limit and the quarantine, too.

A job's page's script asks for JSON; without it the same addresses are pages and forms.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from inference.web.jobs import queries
from inference.web.jobs.rows import job_row, line_row, may_act, may_read
from inference.web.visibility.queries import visibility_for
from inference.web.visibility.staff import staff_required
from models_app import audit
from models_app.catalog.access import user_of
from models_app.intake.limit_setting import BadLimit, current_limit, forget_limit, limit_text, read_limit, set_limit
from models_app.intake.quarantine import discard, quarantined_files
from models_app.jobs.heartbeat import jobs_beat
from models_app.models import Job
from models_app.units import format_bytes

MOST_ENDED = 100
MOST_LINES = 500
_REFUSED = gettext_lazy("It is too late for that: the job has moved on. The page shows how it stands now.")


@login_required
@require_safe
def jobs(request: HttpRequest) -> HttpResponse:
    """Context: `jobs` (job_presentation.JobRow), `is_stalled` and `is_woken_by_redis`; for staff `limit` and `put_away`."""
    return _page(request)


def _page(request: HttpRequest, entered: str | None = None, problem: str = "", status: int = 200) -> HttpResponse:
    """`entered`: a limit that was refused, and why."""
    rows = queries.job_rows(user_of(request), MOST_ENDED)
    context: dict[str, Any] = {
        "jobs": rows,
        "is_stalled": any(row["is_active"] for row in rows) and not jobs_beat(),
        "is_woken_by_redis": settings.REDIS_URL is not None,
    }
    if request.user.is_staff:
        found, limit = quarantined_files(), current_limit()
        limit_now = "" if limit.bytes_per_second is None else format_bytes(limit.bytes_per_second)
        context |= {
            "limit": limit,
            "limit_entered": limit_now if entered is None else entered,
            "limit_problem": problem,
            "limit_of_environment": limit_text(settings.DOWNLOAD_BYTES_PER_SECOND),
            "is_limited_by_environment": settings.DOWNLOAD_BYTES_PER_SECOND is not None,
            "put_away": found,
            "put_away_size": format_bytes(sum(each.size_bytes for each in found)),
        }
    return render(request, "jobs/page.html", context, status=status)


@require_POST
@staff_required
def limit(request: HttpRequest) -> HttpResponse:
    """`limit`: a speed, or nothing for none; or `forget`, and the environment's holds again. For staff."""
    if "forget" in request.POST:
        forget_limit(user_of(request))
    else:
        entered = request.POST.get("limit", "")
        try:
            set_limit(read_limit(entered), user_of(request))
        except BadLimit as bad:
            return _page(request, entered[:40], str(bad), status=422)
    messages.success(
        request, _("Downloads: {limit}. Those that run follow within seconds.").format(limit=current_limit().words)
    )
    return redirect(f"{reverse('jobs')}#limit")


@require_POST
@staff_required
def discard_quarantined(request: HttpRequest) -> HttpResponse:
    """`name` of a file in quarantine. For staff."""
    name = request.POST.get("name", "")
    try:
        gone = discard(name, user_of(request))
    except OSError as error:
        messages.error(
            request, _("{file} could not be removed: {problem}.").format(file=name, problem=error.strerror or error)
        )
    else:
        if gone is None:
            words = _("{file} is gone already.").format(file=name)
        else:
            words = _("{file} is discarded; {size} are free again.").format(file=name, size=gone.size)
        messages.success(request, words)
    return redirect(f"{reverse('jobs')}#quarantine")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def job(request: HttpRequest, pk: int) -> HttpResponse:
    """GET: the job and its log; as JSON, `lines` (job_presentation.LineRow). POST `action`: pause, resume, cancel or retry;
    otherwise `detail` says what to do.
    """
    if request.method == "POST":
        return _acted(request, pk)
    found = _found(pk)
    user, visibility = user_of(request), visibility_for(request.user)
    is_readable = may_read(found, user.pk, user.is_staff, visibility)
    newest = list(found.lines.order_by("-pk")[:MOST_LINES]) if is_readable else []
    lines = [line_row(line) for line in reversed(newest)]
    if _wants_json(request):
        response: HttpResponse = JsonResponse({"lines": lines})
    else:
        row = job_row(found, user.pk, user.is_staff, timezone.now(), visibility)
        may = may_act(found, user.pk, user.is_staff)
        context = {
            "job": row,
            "lines": lines,
            "may_read": is_readable,
            "may_act": may,
            "row": found,
            "acts": audit.history(found) if may else (),
        }
        response = render(request, "jobs/job.html", context)
    patch_vary_headers(response, ["Accept"])
    return response


def _wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def _found(pk: int) -> Job:
    try:
        return Job.objects.select_related("created_by", "variant").get(pk=pk)
    except Job.DoesNotExist:
        raise Http404(_("There is no such job.")) from None


def _acted(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        done = queries.act(pk, request.POST.get("action", ""), user_of(request))
    except Job.DoesNotExist:
        raise Http404(_("There is no such job.")) from None
    except queries.NotAllowed:
        return _said(request, pk, _("Only whoever started this job, or runs this box, may do that."), 403)
    if done is None:
        return _said(request, pk, _("There is no such action."), 400)
    return _said(request, pk, "" if done else str(_REFUSED), 200 if done else 409)


def _said(request: HttpRequest, pk: int, detail: str, status: int) -> HttpResponse:
    response: HttpResponse
    if _wants_json(request):
        response = JsonResponse({"detail": detail} if detail else {}, status=status)
    elif detail:
        response = render(request, "jobs/refused.html", {"detail": detail, "pk": pk}, status=status)
    else:
        response = redirect("job", pk)
    patch_vary_headers(response, ["Accept"])
    return response
