"""`/models/`: the inventory, and a page for each variant.

Everybody who is logged in may look; staff may change. The views are synchronous: each runs in a thread of its own request.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from inference.core.loads.vocabulary import ResidencyState
from inference.host.api.client import HostUnavailable
from inference.web.jobs.queries import job_rows
from inference.web.models import query
from inference.web.models.deletion import InUse, delete_variant
from inference.web.models.form import ChangedMeanwhile, VariantForm
from inference.web.models.rows import model_row, states_of
from inference.web.models.usage import Usage, people_of, usage_by_variant
from inference.web.models.variant_page import variant_context
from inference.web.plans import badges
from inference.web.visibility.queries import status_for
from inference.web.visibility.staff import staff_required
from models_app import audit
from models_app.catalog import deletion
from models_app.catalog.access import user_of, visible_to
from models_app.intake.quarantine import quarantined_bytes
from models_app.intake.verify_job import start_verify
from models_app.models import Variant
from models_app.units import format_bytes

MOST_ROWS = 1000
SHOWN_JOBS = 5
"""That ended, beside those that have not."""
PLANS_AT_ONCE = 32
PLANS_WITHIN_SECONDS = 0.4
AWAY = gettext_lazy("The model host does not answer, so nobody can tell whether it is in use. Try again in a moment.")


# looking ------------------------------------------------------------------------------------------------------


@require_safe
def inventory(request: HttpRequest) -> HttpResponse:
    """The inventory. Context: `rows` (ModelRow), `asked`, what can be asked for, and the totals."""
    host = status_for(request.user)
    states = states_of(host["residents"]) if host else {}
    everything = _visible(request)
    choices = list(everything.values_list("architecture", "quantization", "size_bytes"))
    asked = query.read(request.GET.dict())
    variants = list(query.found(everything, asked, _in_memory(states))[:MOST_ROWS])
    profile = badges.here()
    known = badges.remembered(badges.subjects(variants, profile)) if profile else {}
    usage, now = usage_by_variant(), timezone.now()
    rows = [model_row(each, states, known.get(each.pk), usage.get(each.pk, Usage()), now) for each in variants]
    context = {
        "rows": rows,
        "jobs": job_rows(user_of(request), most_ended=0),
        "n_all": len(choices),
        "total": format_bytes(sum(size_bytes for *_, size_bytes in choices)),
        "free": format_bytes(shutil.disk_usage(settings.DATA_DIR).free),
        "asked": asked,
        "words": " ".join(asked.words),
        "architectures": sorted({name for name, *_others in choices if name}),
        "quantizations": sorted({name for _architecture, name, _bytes in choices if name}),
        "states": query.STATES.items(),
        "orders": [(name, words) for name, (words, _columns) in query.ORDERS.items()],
        "residents": host["residents"] if host else [],
        "quarantined": _quarantined() if request.user.is_staff else "",
        "changes": audit.recent(Variant, 5) if request.user.is_staff else (),
    }
    return render(request, "models/list.html", context)


def _quarantined() -> str:
    """How much; "" for nothing."""
    n_bytes = quarantined_bytes()
    return format_bytes(n_bytes) if n_bytes else ""


def _in_memory(states: Mapping[int, ResidencyState]) -> list[int]:
    return [pk for pk, state in states.items() if state not in ("absent", "failed")]


@require_safe
def plans(request: HttpRequest) -> JsonResponse:
    """`?ids=1,2,3`: what their badges say, by id. Those that took too long are left out: ask again."""
    ids = [
        int(each) for each in request.GET.get("ids", "").split(",")[:PLANS_AT_ONCE] if each.isascii() and each.isdigit()
    ]
    variants = list(_visible(request).filter(pk__in=[each for each in ids if each < 1 << 63]))
    found = badges.badges(variants, PLANS_WITHIN_SECONDS)
    return JsonResponse(
        {
            str(pk): {"fit": each.fit.value, "words": each.words, "speed": each.speed, "detail": each.detail}
            for pk, each in found.items()
        }
    )


@require_http_methods(["GET", "HEAD", "POST"])
def variant(request: HttpRequest, name: str) -> HttpResponse:
    """One variant. POST: VariantForm, from staff."""
    if request.method == "POST":
        return _change(request, name)
    row = _named(request, name)
    return _page(request, row, VariantForm(instance=row))


@staff_required
def _change(request: HttpRequest, name: str) -> HttpResponse:
    row = _named(request, name)
    form = VariantForm(request.POST, instance=_named(request, name))
    if not form.is_valid():
        return _page(request, row, form, status=422)
    try:
        told = form.store(user_of(request).pk)
    except ChangedMeanwhile:
        form.add_error(None, _("Somebody changed this meanwhile. Look at what stands here now, and change it again."))
        return _page(request, row, VariantForm(instance=row), status=409, problem=str(form.non_field_errors()[0]))
    messages.success(request, told or _("Nothing was changed."))
    return redirect("model", form.cleaned_data["name"])


def _page(
    request: HttpRequest, row: Variant, form: VariantForm, *, status: int = 200, problem: str = ""
) -> HttpResponse:
    host = status_for(request.user)
    context = {
        **variant_context(row, host, _visible(request), names_files=bool(request.user.is_staff)),
        "residents": host["residents"] if host else [],
        "jobs": job_rows(user_of(request), SHOWN_JOBS, row.pk),
        "form": form,
        "problem": problem,
        "people": people_of(row.pk) if request.user.is_staff else (),
        "history": audit.history(row) if request.user.is_staff else (),
    }
    return render(request, "models/variant.html", context, status=status)


def _visible(request: HttpRequest) -> QuerySet[Variant]:
    return visible_to(user_of(request), Variant.objects.all())


def _named(request: HttpRequest, name: str) -> Variant:
    row = _visible(request).select_related("repository", "made_from").filter(name=name).first()
    if row is None:
        raise Http404(_("There is no model named “{name}”.").format(name=name))
    return row


@require_POST
@staff_required
def verify(request: HttpRequest, name: str) -> HttpResponse:
    """Has its files compared with their digests, by a job."""
    row = _named(request, name)
    start_verify(row, user_of(request))
    return redirect("model", row.name)


# deleting -----------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@staff_required
def delete(request: HttpRequest, name: str) -> HttpResponse:
    """GET: what would go and what depends on it. POST: does it."""
    row = _named(request, name)
    if request.method != "POST":
        return _question(request, row)
    try:
        gone = delete_variant(row, user_of(request).pk)
    except InUse as used:
        return _question(request, row, used.detail, status=409)
    except HostUnavailable:
        return _question(request, row, str(AWAY), status=503)
    except OSError as error:
        words = _("{file} could not be deleted: {problem}. The model is withheld; mend that and delete it again.")
        detail = words.format(file=error.filename or _("A file"), problem=error.strerror or error)
        return _question(request, row, detail, status=500)
    messages.success(request, _("{variant} is gone.").format(variant=row.name) + f" {gone.sentence}")
    return redirect("models")


def _question(request: HttpRequest, row: Variant, problem: str = "", status: int = 200) -> HttpResponse:
    found = deletion.removal(row)
    context: dict[str, Any] = {
        "variant": row,
        "removal": found,
        "usage": usage_by_variant(row.pk).get(row.pk, Usage()),
        "problem": problem,
    }
    return render(request, "models/delete.html", context, status=status)
