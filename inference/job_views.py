"""`/jobs/`: all jobs, one job with its log, and what may be done to it. The pages' script asks for JSON; without it the same
addresses are pages and forms.
"""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods, require_safe

from inference import job_store
from inference.job_presentation import job_row, line_row, may_act
from models_app.job import Job

MOST_ENDED = 100
MOST_LINES = 500
_REFUSED = "It is too late for that: the job has moved on. The page shows how it stands now."


@login_required
@require_safe
def jobs(request: HttpRequest) -> HttpResponse:
    """Context: `jobs` (job_presentation.JobRow)."""
    return render(request, "jobs.html", {"jobs": job_store.job_rows(request.user, MOST_ENDED)})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def job(request: HttpRequest, pk: int) -> HttpResponse:
    """GET: the job and its log; as JSON, `lines` (job_presentation.LineRow). POST `action`: pause, resume, cancel or retry;
    otherwise `detail` says what to do.
    """
    if request.method == "POST":
        return _acted(request, pk)
    found = _found(pk)
    may_read = may_act(found, request.user.pk, request.user.is_staff)
    newest = found.lines.order_by("-pk")[:MOST_LINES] if may_read else []
    lines = [line_row(line) for line in reversed(newest)]
    if _wants_json(request):
        response: HttpResponse = JsonResponse({"lines": lines})
    else:
        row = job_row(found, request.user.pk, request.user.is_staff, timezone.now())
        context = {"job": row, "lines": lines, "may_read": may_read, "row": found}
        response = render(request, "jobs/job.html", context)
    patch_vary_headers(response, ["Accept"])
    return response


def _wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def _found(pk: int) -> Job:
    try:
        return Job.objects.select_related("created_by", "variant").get(pk=pk)
    except Job.DoesNotExist:
        raise Http404("There is no such job.") from None


def _acted(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        done = job_store.act(pk, request.POST.get("action", ""), request.user)
    except Job.DoesNotExist:
        raise Http404("There is no such job.") from None
    except job_store.NotAllowed:
        return _said(request, pk, "Only whoever started this job, or runs this box, may do that.", 403)
    if done is None:
        return _said(request, pk, "There is no such action.", 400)
    return _said(request, pk, "" if done else _REFUSED, 200 if done else 409)


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
