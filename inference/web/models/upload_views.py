"""`/models/upload/`: what a page's script asks while it sends a model piece by piece. Staff alone; everything is JSON.

POST [{"name", "size_bytes"}, …]: 201 with `id`, `offsets` (bytes that are here, of each file in `order`) and `piece_bytes`; the
same files again: the same upload. PUT a piece with `Upload-Offset`: 200 with the `offset` after it; 409 with the `offset` where the
file really ends. GET: how it stands. DELETE: cancels. Otherwise `detail` says what to do.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from inference.web.visibility.staff import staff_required
from models_app import jobs
from models_app.catalog.access import user_of
from models_app.intake import upload_job
from models_app.intake.part import PartHeld
from models_app.models import Job

LONGEST_OFFER_BYTES = 64 * 1024

View = Callable[..., JsonResponse]


def _refusals_as_json(view: View) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> JsonResponse:
        try:
            return view(request, *args, **kwargs)
        except PermissionDenied:
            return _refused(_("Only whoever runs this box may add models."), 403)
        except upload_job.BadUpload as error:
            return _refused(str(error), 400)
        except upload_job.NoRoom as error:
            return _refused(error.sentence, 507)
        except PartHeld:
            return _refused(_("Another page is sending this file already."), 423)
        except OSError as error:
            return _refused(_("The box could not store this: {problem}.").format(problem=error.strerror or error), 507)

    return guarded


@require_http_methods(["POST"])
@_refusals_as_json
@staff_required
def begin(request: HttpRequest) -> JsonResponse:
    job = upload_job.start_upload(_offered(request), user_of(request))
    return JsonResponse(_standing(job), status=201)


@require_http_methods(["GET", "HEAD", "DELETE"])
@_refusals_as_json
@staff_required
def upload(request: HttpRequest, pk: int) -> JsonResponse:
    job = _found(pk)
    if job is None:
        return _refused(_("There is no such upload."), 404)
    if request.method == "DELETE":
        jobs.cancel(job, user_of(request))
        return JsonResponse({})
    return JsonResponse(_standing(job))


@require_http_methods(["PUT"])
@_refusals_as_json
@staff_required
def piece(request: HttpRequest, pk: int, number: int) -> JsonResponse:
    job = _found(pk)
    if job is None or number >= len(job.spec["files"]):
        return _refused(_("There is no such upload."), 404)
    if job.state == Job.State.DONE:
        return _elsewhere(job.spec["files"][number]["size_bytes"])
    if not job.is_active or job.state == Job.State.PAUSED or job.wish == Job.Wish.CANCEL:
        return _refused(
            _("This upload is {state}.").format(state=str(Job.State(job.state).label).lower()),
            410 if not job.is_active else 409,
        )
    offset, length = request.headers.get("Upload-Offset", ""), request.headers.get("Content-Length", "")
    if not (offset.isascii() and offset.isdigit() and len(offset) < 19 and length.isascii() and length.isdigit()):
        raise upload_job.BadUpload(_("A piece needs its length and its Upload-Offset."))
    if int(length) > upload_job.PIECE_BYTES:
        return _refused(_("A piece has at most {n} bytes.").format(n=upload_job.PIECE_BYTES), 413)
    try:
        after = upload_job.add_piece(job, number, int(offset), request.read())
    except upload_job.WrongOffset as error:
        return _elsewhere(error.offset)
    return JsonResponse({"offset": after})


def _elsewhere(offset: int) -> JsonResponse:
    return JsonResponse({"offset": offset, "detail": _("The file does not end there.")}, status=409)


def _found(pk: int) -> Job | None:
    return Job.objects.filter(pk=pk, kind=upload_job.KIND).first()


def _standing(job: Job) -> dict[str, Any]:
    return {
        "id": job.pk,
        "state": job.state,
        "order": [file["file_name"] for file in job.spec["files"]],
        "offsets": upload_job.offsets(job),
        "piece_bytes": upload_job.PIECE_BYTES,
    }


def _offered(request: HttpRequest) -> list[upload_job.OfferedFile]:
    raw = request.read(LONGEST_OFFER_BYTES + 1)
    try:
        told = json.loads(raw) if len(raw) <= LONGEST_OFFER_BYTES else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, list) or not all(_is_file(each) for each in told):
        raise upload_job.BadUpload(_("Expected a list of files, each with name and size_bytes."))
    return [upload_job.OfferedFile(each["name"], each["size_bytes"]) for each in told]


def _is_file(told: Any) -> bool:
    if not isinstance(told, dict) or not isinstance(told.get("name"), str):
        return False
    size_bytes = told.get("size_bytes")
    return isinstance(size_bytes, int) and not isinstance(size_bytes, bool) and size_bytes < 1 << 62


def _refused(detail: str, status: int) -> JsonResponse:
    return JsonResponse({"detail": detail}, status=status)
