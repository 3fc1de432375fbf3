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

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_http_methods

from models_app import jobs
from models_app.intake import upload_job
from models_app.intake.part import PartHeld
from models_app.models import Job

LONGEST_OFFER_BYTES = 64 * 1024
_STAFF_ONLY = "Only whoever runs this box may add models."

View = Callable[..., JsonResponse]


def _for_staff(view: View) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> JsonResponse:
        if not request.user.is_staff:
            return _refused(_STAFF_ONLY, 403)
        try:
            return view(request, *args, **kwargs)
        except upload_job.BadUpload as error:
            return _refused(str(error), 400)
        except upload_job.NoRoom as error:
            return _refused(error.sentence, 507)
        except PartHeld:
            return _refused("Another page is sending this file already.", 423)
        except OSError as error:
            return _refused(f"The box could not store this: {error.strerror or error}.", 507)

    return guarded


@require_http_methods(["POST"])
@_for_staff
def begin(request: HttpRequest) -> JsonResponse:
    job = upload_job.start_upload(_offered(request), request.user)
    return JsonResponse(_standing(job), status=201)


@require_http_methods(["GET", "HEAD", "DELETE"])
@_for_staff
def upload(request: HttpRequest, pk: int) -> JsonResponse:
    job = _found(pk)
    if job is None:
        return _refused("There is no such upload.", 404)
    if request.method == "DELETE":
        jobs.cancel(job, request.user)
        return JsonResponse({})
    return JsonResponse(_standing(job))


@require_http_methods(["PUT"])
@_for_staff
def piece(request: HttpRequest, pk: int, number: int) -> JsonResponse:
    job = _found(pk)
    if job is None or number >= len(job.spec["files"]):
        return _refused("There is no such upload.", 404)
    if job.state == Job.State.DONE:
        return _elsewhere(job.spec["files"][number]["size_bytes"])
    if not job.is_active or job.state == Job.State.PAUSED or job.wish == Job.Wish.CANCEL:
        return _refused(f"This upload is {Job.State(job.state).label.lower()}.", 410 if not job.is_active else 409)
    offset, length = request.headers.get("Upload-Offset", ""), request.headers.get("Content-Length", "")
    if not (offset.isascii() and offset.isdigit() and len(offset) < 19 and length.isascii() and length.isdigit()):
        raise upload_job.BadUpload("A piece needs its length and its Upload-Offset.")
    if int(length) > upload_job.PIECE_BYTES:
        return _refused(f"A piece has at most {upload_job.PIECE_BYTES} bytes.", 413)
    try:
        after = upload_job.add_piece(job, number, int(offset), request.read())
    except upload_job.WrongOffset as error:
        return _elsewhere(error.offset)
    return JsonResponse({"offset": after})


def _elsewhere(offset: int) -> JsonResponse:
    return JsonResponse({"offset": offset, "detail": "The file does not end there."}, status=409)


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
        raise upload_job.BadUpload("Expected a list of files, each with name and size_bytes.")
    return [upload_job.OfferedFile(each["name"], each["size_bytes"]) for each in told]


def _is_file(told: Any) -> bool:
    if not isinstance(told, dict) or not isinstance(told.get("name"), str):
        return False
    size_bytes = told.get("size_bytes")
    return isinstance(size_bytes, int) and not isinstance(size_bytes, bool) and size_bytes < 1 << 62


def _refused(detail: str, status: int) -> JsonResponse:
    return JsonResponse({"detail": detail}, status=status)
