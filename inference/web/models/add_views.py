"""`/models/add/`: GGUF files that somebody has already, on this box's disks or in front of the browser. For staff."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from inference.web.jobs.queries import job_rows
from inference.web.visibility.staff import staff_required
from models_app.catalog.access import user_of
from models_app.intake.import_job import BadImport, start_import, survey
from models_app.units import format_bytes

LONGEST_PATH = 4096


@require_http_methods(["GET", "HEAD", "POST"])
@staff_required
def add(request: HttpRequest) -> HttpResponse:
    """GET `?path=…`: what lies there, to be looked at first. POST `path`, `how`: takes it in, by a job."""
    asked = request.POST if request.method == "POST" else request.GET
    path = asked.get("path", "").strip()[:LONGEST_PATH]
    context = {"path": path, "folder": settings.MODELS_DIR, "jobs": job_rows(user_of(request), most_ended=0)}
    if not path:
        return render(request, "models/add.html", context)
    try:
        if request.method == "POST":
            start_import(_path(path), request.POST.get("how", ""), user_of(request))
            return redirect("models")
        found = survey(_path(path))
    except BadImport as bad:
        return render(request, "models/add.html", {**context, "problem": str(bad)}, status=422)
    candidates = [
        {
            "path": each.path,
            "name": each.name,
            "size": format_bytes(each.size_bytes),
            "n_files": each.n_files,
            "known_as": each.known_as,
        }
        for each in found.candidates
    ]
    fresh = [each for each in found.candidates if each.known_as is None]
    context |= {
        "found": candidates,
        "refused": found.refused.items(),
        "n_new": len(fresh),
        "new_size": format_bytes(sum(each.size_bytes for each in fresh)),
        "can_link": all(each.can_link for each in fresh),
    }
    return render(request, "models/add.html", context)


def _path(text: str) -> Path:
    """Raises BadImport."""
    if "\0" in text:
        raise BadImport(_("This is no path."))
    return Path(text)
