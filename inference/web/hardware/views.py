"""`/hardware/`: machines, what may be spent on their devices, and what loading a variant would take there.

Everybody who is logged in may look; staff may change. The views are synchronous: each runs in a thread of its own request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from inference.web.hardware.rows import DeviceView, device_views, summary
from inference.web.plans.pinned import pinned_bytes_by_device
from inference.web.plans.what_if import (
    KV_CHOICES,
    Answer,
    BadQuestion,
    CannotBePlanned,
    answer,
    estimates_of,
    read_changes,
)
from inference.web.visibility.queries import status_for
from inference.web.visibility.staff import staff_required
from inference.wishes import wishes_of
from models_app.catalog.access import user_of, visible_to
from models_app.hardware import Profile
from models_app.hardware.budgets import NAMES, Amounts, BadAmounts, read_amounts
from models_app.hardware.cards import cards
from models_app.hardware.pools import named_devices
from models_app.hardware.stored import BadDevices
from models_app.machines.edits import (
    AmountsChanged,
    IsThisMachine,
    add_profile,
    change_amounts,
    delete_profile,
    measure_again,
    recent_changes,
    stored_amounts,
)
from models_app.machines.forms import ProfileForm
from models_app.machines.this_machine_row import UnknownProfile, profile_named, this_box, this_machine
from models_app.models import HardwareProfile, Variant

UNDO = "hardware_undo"
"""In the session: the last change of amounts, turned round, until it is used or another page is shown."""

# looking ------------------------------------------------------------------------------------------------------


@require_safe
def hardware(request: HttpRequest) -> HttpResponse:
    """Blocks for a second where this machine was never looked at."""
    return _page(request)


@require_safe
def plan(request: HttpRequest) -> JsonResponse:
    """`?variant=…&profile=…&ctx=…&slots=…&kv=…`: what_if.Answer, or `problems` with a sentence by parameter."""
    try:
        return JsonResponse(_answer(request.user, request.GET))
    except BadQuestion as bad:
        return JsonResponse({"problems": bad.problems}, status=400)


def _answer(user: Any, query: Mapping[str, str]) -> Answer:
    """Raises BadQuestion."""
    changes = read_changes(query)
    name = query.get("variant", "")
    variant = visible_to(user, Variant.objects.filter(name=name)).first()
    if variant is None:
        raise BadQuestion(
            {"variant": _("There is no model named “{name}”.").format(name=name) if name else _("Pick a model.")}
        )
    paths = list(variant.shards.order_by("number").values_list("path", flat=True))
    try:
        if not paths:
            raise CannotBePlanned(variant.name)
        estimates = estimates_of(paths)
    except CannotBePlanned as cannot:
        raise BadQuestion({"variant": cannot.detail}) from None
    return answer(estimates, _profile(query.get("profile", "")), wishes_of(variant), changes)


def _profile(name: str) -> Profile:
    """This machine's without a name. Raises BadQuestion."""
    try:
        row = this_machine()
        if name in ("", row.name):
            return this_box()
        return profile_named(name)
    except UnknownProfile:
        raise BadQuestion(
            {"profile": _("There is no machine and no known card named “{name}”.").format(name=name)}
        ) from None
    except BadDevices as bad:
        raise BadQuestion(
            {"profile": _("The machine's stored devices make no sense: {problem}.").format(problem=bad)}
        ) from None


def _page(
    request: HttpRequest,
    *,
    form: ProfileForm | None = None,
    wrong: tuple[int, DeviceView] | None = None,
    status: int = 200,
) -> HttpResponse:
    """`wrong`: a machine's device whose new amounts were refused, shown instead of the stored one."""
    host = status_for(request.user)
    pinned = pinned_bytes_by_device(host["residents"]) if host else {}
    here = this_machine()
    machines = [_machine(row, pinned, wrong) for row in (here, *HardwareProfile.objects.exclude(pk=here.pk))]
    context = {
        "residents": host["residents"] if host else [],
        "machine": machines[0],
        "others": machines[1:],
        "form": form or ProfileForm(),
        "changes": recent_changes() if request.user.is_staff else (),
        "undo": request.session.pop(UNDO, None),
        **_what_if(request, [machine["row"].name for machine in machines]),
    }
    return render(request, "hardware/page.html", context, status=status)


def _machine(
    row: HardwareProfile, pinned: Mapping[str, int], wrong: tuple[int, DeviceView] | None = None
) -> dict[str, Any]:
    profile = row.profile()
    ours = row.is_this_machine
    devices = device_views(
        profile,
        stored_amounts(row),
        pinned if ours else {},
        ram_budget_bytes=settings.BUDGET_BYTES if ours else None,
    )
    if wrong is not None and wrong[0] == row.pk:
        devices = [wrong[1] if each.device == wrong[1].device else each for each in devices]
    is_open = any(device.problems for device in devices)
    return {"row": row, "summary": summary(profile), "devices": devices, "is_open": is_open}


def _what_if(request: HttpRequest, machine_names: list[str]) -> dict[str, Any]:
    """The form as it was sent, and its answer or its problems."""
    offered = visible_to(user_of(request), Variant.objects.filter(enabled=True))
    variants = list(offered.values("name", "n_ctx_seq", "n_seq_max", "n_ctx_train"))
    query = request.GET.dict() if request.method in ("GET", "HEAD") else {}
    chosen = query.get("variant") or (variants[0]["name"] if variants else "")
    query["variant"] = chosen
    found: Answer | None = None
    problems: dict[str, str] = {}
    if chosen:
        try:
            found = _answer(request.user, query)
        except BadQuestion as bad:
            problems = bad.problems
    asked = found["asked"] if found else {}
    own = next((each for each in variants if each["name"] == chosen), None)
    return {
        "variants": variants,
        "machine_names": machine_names,
        "cards": cards(),
        "kv_choices": KV_CHOICES,
        "asked": {
            "variant": chosen,
            "profile": query.get("profile") or machine_names[0],
            "ctx": query.get("ctx") or asked.get("ctx") or (own["n_ctx_seq"] if own else 4096),
            "slots": query.get("slots") or asked.get("slots") or (own["n_seq_max"] if own else 1),
            "kv": query.get("kv") or "auto",
        },
        **_painted(found, query),
        "problems": problems,
        "plan_url": reverse("hardware-plan"),
    }


def _painted(found: Answer | None, query: Mapping[str, str]) -> dict[str, Any]:
    """The answer as `plan`, with a link to each way, and the way that is `shown`: the best, or `way`'s."""
    if found is None:
        return {"plan": None, "shown": None}
    wish = query.get("way", "")[:4]
    n_shown = int(wish) if wish.isascii() and wish.isdigit() and int(wish) < len(found["ways"]) else 0
    rows = [
        {**way, "href": f"?{urlencode({**query, 'way': number})}#what-if", "is_shown": number == n_shown}
        for number, way in enumerate(found["ways"])
    ]
    return {"plan": {**found, "ways": rows}, "shown": rows[n_shown] if rows else None}


# changing -----------------------------------------------------------------------------------------------------


def _amounts(form: Mapping[str, str], prefix: str = "") -> Amounts:
    return Amounts(*(form.get(prefix + name, "").strip()[:40] for name in NAMES))


@require_POST
@staff_required
def set_amounts(request: HttpRequest, pk: int, device: str) -> HttpResponse:
    """`budget` and `reserve` of one device, with `was_budget` and `was_reserve` as the person saw them."""
    row = HardwareProfile.objects.filter(pk=pk).first()
    found = None if row is None else dict(named_devices(row.profile())).get(device)
    if row is None or found is None:
        raise Http404(_("There is no such device."))
    was, to = _amounts(request.POST, "was_"), _amounts(request.POST)
    view = _device_view(row, device)
    try:
        read_amounts(to, found)
        told = change_amounts(pk, device, was, to, user_of(request).pk)
    except BadAmounts as bad:
        return _page(request, wrong=(pk, replace(view, written=to, problems=dict(bad.problems.items()))), status=422)
    except AmountsChanged as changed:
        now = changed.now
        problem = _(
            "Somebody changed this meanwhile: the budget is {budget} and the reserve {reserve} now. Look, and save again "
            "if you still want yours."
        ).format(budget=now.budget or _("the default"), reserve=now.reserve or _("the default"))
        return _page(request, wrong=(pk, replace(view, written=to, problems={"budget": problem})), status=409)
    if told is None:
        messages.info(request, _("Nothing was changed."))
    else:
        messages.success(request, told)
        request.session[UNDO] = {
            "url": reverse("hardware-amounts", args=[pk, device]),
            "fields": {
                **{name: getattr(was, name) for name in NAMES},
                **{f"was_{name}": getattr(to, name) for name in NAMES},
            },
        }
    return redirect(f"{reverse('hardware')}#machine-{pk}")


def _device_view(row: HardwareProfile, device: str) -> DeviceView:
    views: list[DeviceView] = _machine(row, {})["devices"]
    return next(each for each in views if each.device == device)


@require_POST
@staff_required
def measure(request: HttpRequest) -> HttpResponse:
    """Blocks for about a second."""
    row = measure_again(user_of(request).pk)
    messages.success(request, _("Looked again: {devices}.").format(devices=summary(row.profile())))
    return redirect("hardware")


@require_POST
@staff_required
def add(request: HttpRequest) -> HttpResponse:
    form = ProfileForm(request.POST)
    if not form.is_valid():
        return _page(request, form=form, status=422)
    row = form.row()
    add_profile(row, user_of(request).pk)
    messages.success(request, _("{machine} can be planned for now.").format(machine=row.name))
    return redirect(f"{reverse('hardware')}#machine-{row.pk}")


@require_POST
@staff_required
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        name = delete_profile(pk, user_of(request).pk)
    except HardwareProfile.DoesNotExist:
        raise Http404(_("There is no such machine.")) from None
    except IsThisMachine:
        raise PermissionDenied from None
    messages.success(request, _("{machine} is gone.").format(machine=name))
    return redirect(f"{reverse('hardware')}#others")
