"""`/models/NAME/requantize/`: what could be made of a variant, and the order to make it. For staff."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from inference.core.planning.recipe import TENSOR_CHOICES, Recipe
from inference.engine.tools.quantize import QuantizeFailed
from inference.jobs.imatrix import FOLDER
from inference.jobs.orders import Order, base_name, proposed_name
from inference.web.crossing.ask_host import status_now
from inference.web.plans.what_if import BadQuestion, CannotBePlanned
from inference.web.requantize.question import QUALITIES, Question, read_question
from inference.web.requantize.target import Target, TargetProblem
from inference.web.requantize.targets import Targets, imatrix_choices, targets
from inference.web.visibility.staff import staff_required
from models_app import jobs
from models_app.catalog.access import user_of
from models_app.hub.named import Named, repository_named
from models_app.intake.names import Names, giving_names
from models_app.models import Job, Repository, Variant, validate_not_reserved, validate_variant_name

_ASKED = (
    *("goal", "quality", "size", "type", "ctx", "slots", "output_type", "embedding_type"),
    *("pure", "keep_split", "imatrix"),
)
_SHOWN_AT_THEIR_FIELD = ("size", "ctx", "slots", "imatrix", "name")


@require_http_methods(["GET", "HEAD", "POST"])
@staff_required
def requantize(request: HttpRequest, name: str) -> HttpResponse:
    """GET: the choices and what each would take, by the parameters of Question. POST: starts the job."""
    row = Variant.objects.select_related("repository").filter(name=name).first()
    if row is None:
        raise Http404(_("There is no model named “{name}”.").format(name=name))
    if request.method == "POST":
        return _start(request, row)
    return _page(request, row, request.GET.dict())


def _page(
    request: HttpRequest, row: Variant, query: Mapping[str, str], problems: Mapping[str, str] | None = None
) -> HttpResponse:
    told: Targets | None = None
    found = dict(problems or {})
    problem = row.unusable_reason or ""
    try:
        question = read_question(query)
    except BadQuestion as bad:
        # What makes sense without an answer is shown beside what does not.
        found, question = {**bad.problems, **found}, read_question({})
    try:
        told = None if problem else targets(row, question)
    except (CannotBePlanned, QuantizeFailed) as cannot:
        problem = cannot.detail
    host = status_now()
    context = {
        "variant": row,
        "residents": host["residents"] if host else [],
        "asked": _form_values(query, told),
        "problems": found,
        "other_problems": [words for field, words in found.items() if field not in _SHOWN_AT_THEIR_FIELD],
        "problem": problem,
        "told": told,
        "rows": _rows(row, query, told),
        "carried": [(name, query.get(name, "")) for name in _ASKED if name != "type" and query.get(name)],
        "name": query.get("name", ""),
        "qualities": [(each, words) for each, (words, _type) in QUALITIES.items()],
        "tensor_choices": TENSOR_CHOICES,
        "is_computing": Job.objects.filter(kind="imatrix", variant=row, state__in=Job.ACTIVE).exists(),
        "imatrices": imatrix_choices(_imatrix_folders(row)),
        "hub_url": _hub_url(row),
        "sources_url": _sources_url(row),
        "is_split": told is not None and told.n_shards > 1,
    }
    return render(request, "requantize/page.html", context, status=422 if found else 200)


def _form_values(query: Mapping[str, str], told: Targets | None) -> dict[str, str]:
    asked = {name: query.get(name, "") for name in _ASKED}
    asked["goal"] = asked["goal"] or "fit"
    asked["quality"] = asked["quality"] or "balanced"
    if told is not None:
        asked["ctx"] = asked["ctx"] or str(told.n_ctx_seq)
        asked["slots"] = asked["slots"] or str(told.n_seq_max)
    return asked


@dataclass(frozen=True, slots=True)
class TargetRow:
    target: Target
    name: str
    """That the variant would get."""
    is_chosen: bool

    @property
    def is_rare(self) -> bool:
        """Shown on demand."""
        return not (self.target.is_usual or self.is_chosen)


def _rows(row: Variant, query: Mapping[str, str], told: Targets | None) -> list[TargetRow]:
    """The targets' rows; those that few people want come last."""
    if told is None:
        return []
    pure, names = query.get("pure") == "on", Names(Job.ACTIVE)
    rows = [
        TargetRow(
            each,
            names.take(proposed_name(row.name, Recipe(each.type, pure=pure))),
            told.chosen is not None and each.type == told.chosen.type,
        )
        for each in told.rows
    ]
    return sorted(rows, key=lambda each: each.is_rare)


def _imatrix_folders(row: Variant) -> list[Path]:
    shard = row.shards.order_by("number").first()
    beside = [Path(shard.path).parent] if shard is not None else []
    return [Path(settings.MODELS_DIR) / FOLDER, *beside]


def _hub_url(row: Variant) -> str:
    """Where a better source may be found."""
    named = _on_the_hub(row)
    if named is not None:
        return reverse("hub-repository", args=[named.owner, named.name])
    return f"{reverse('hub-find')}?{urlencode({'q': base_name(row.name)})}"


def _sources_url(row: Variant) -> str:
    """What tells whether its repository has a better source; "" where it came from none."""
    named = _on_the_hub(row)
    if named is None:
        return ""
    return f"{reverse('hub-sources', args=[named.owner, named.name])}?{urlencode({'than': row.quantization})}"


def _on_the_hub(row: Variant) -> Named | None:
    is_there = row.repository.kind == Repository.Kind.HUB
    return repository_named(row.repository.name, settings.HUB_ENDPOINT) if is_there else None


# ordering -----------------------------------------------------------------------------------------------------


def _start(request: HttpRequest, row: Variant) -> HttpResponse:
    try:
        question = read_question({**request.POST.dict(), "goal": "type"})
    except BadQuestion as bad:
        return _page(request, row, request.POST.dict(), bad.problems)
    wish, recipe = request.POST.get("name", "").strip(), question.recipe
    problems = _objections(row, wish, question)
    if problems:
        return _page(request, row, request.POST.dict(), problems)
    # Together with the start: of two orders at once only one gets the name.
    with giving_names(Job.ACTIVE) as names:
        if wish and names.is_taken(wish):
            words = _("There is a model or a file called {name} already. Choose another name.")
            problems["name"] = words.format(name=wish)
        else:
            name = wish or names.take(proposed_name(row.name, recipe))
            title = f"Requantize {row.name} to {recipe.type}{' (pure)' if recipe.pure else ''}"
            order = Order(row.pk, name, recipe, question.imatrix)
            jobs.start("requantize", order.to_json(), title, user_of(request), row)
    if problems:
        return _page(request, row, request.POST.dict(), problems)
    words = _("{variant} is being made. It appears here when it is whole and was checked.")
    messages.success(request, words.format(variant=name))
    return redirect("model", row.name)


def _objections(row: Variant, wish: str, question: Question) -> dict[str, str]:
    """What speaks against making it, by the field that has to change. `wish`: the name asked for; "" where any will do."""
    problems: dict[str, str] = {}
    if row.unusable_reason:
        problems["type"] = row.unusable_reason
    if wish:
        try:
            validate_variant_name(wish)
            validate_not_reserved(wish)
        except ValidationError as bad:
            problems["name"] = " ".join(bad.messages)
    if re.search(r"-\d{5}-of-\d{5}$", wish):
        problems["name"] = _("A name that ends like a part of a split model would not be found again. Choose another.")
    if problems:
        return problems
    try:
        told = targets(row, replace(question, goal="type"))
        chosen = next((each for each in told.rows if each.type == question.recipe.type), None)
    except (CannotBePlanned, QuantizeFailed) as cannot:
        return {"type": cannot.detail}
    if chosen is None:
        return {"type": _("llama.cpp cannot make {type} of this file.").format(type=question.recipe.type)}
    # A full disk is waited for; the matrix would never come by itself.
    return {"type": chosen.problem_words} if chosen.problem is TargetProblem.NEEDS_IMATRIX else {}


# measuring ----------------------------------------------------------------------------------------------------


@require_POST
@staff_required
def measure(request: HttpRequest, name: str) -> HttpResponse:
    """Starts the job that measures the variant, unless one is under way."""
    row = Variant.objects.filter(name=name).first()
    if row is None:
        raise Http404(_("There is no model named “{name}”.").format(name=name))
    if row.unusable_reason:
        messages.error(request, row.unusable_reason)
        return redirect("model", row.name)
    spec = {"variant_id": row.pk}
    _job, is_new = jobs.start_once("measure", spec, f"Measure {row.name}", user_of(request), row, Job.Unit.CHUNKS)
    if is_new:
        words = _("{variant} will be measured as soon as it gets its turn.")
        messages.success(request, words.format(variant=row.name))
    else:
        messages.info(request, _("{variant} is being measured already.").format(variant=row.name))
    return redirect("model", row.name)


@require_POST
@staff_required
def imatrix(request: HttpRequest, name: str) -> HttpResponse:
    """Starts the job that computes the variant's importance matrix, unless one is under way. `text`: a path, or nothing."""
    row = Variant.objects.filter(name=name).first()
    if row is None:
        raise Http404(_("There is no model named “{name}”.").format(name=name))
    text = request.POST.get("text", "").strip() or None
    if row.unusable_reason:
        messages.error(request, row.unusable_reason)
    elif text is not None and not (os.path.isabs(text) and os.path.isfile(text)):
        messages.error(request, _("There is no such text on this machine. Give its whole path, beginning with /."))
    else:
        _begin_imatrix(request, row, text)
    return redirect("requantize", row.name)


def _begin_imatrix(request: HttpRequest, row: Variant, text: str | None) -> None:
    spec = {"variant_id": row.pk, "name": row.name, "text": text}
    title = f"Importance matrix of {row.name}"
    _job, is_new = jobs.start_once("imatrix", spec, title, user_of(request), row, Job.Unit.CHUNKS)
    if is_new:
        words = _("The importance matrix of {variant} is being computed. Choose it here when it is done.")
        messages.success(request, words.format(variant=row.name))
    else:
        words = _("The importance matrix of {variant} is being computed already.")
        messages.info(request, words.format(variant=row.name))
