"""Variants in the admin: what is known of each, what is in memory, and what can be done to many at once."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from inference.admin.variant_actions import VariantActions
from inference.admin.variant_filters import AvailabilityFilter, JobStateFilter, ResidencyFilter
from inference.host.api.client import HostRefusal, HostUnavailable
from inference.web.crossing import ask_host
from inference.web.models.form import VariantForm
from inference.web.models.rows import last_used, states_of
from inference.web.plans import badges
from inference.web.plans.badge import Badge
from inference.wording.residency import state_words
from models_app.admin.base import NotByHand, SizeColumn, stacked
from models_app.admin.measurements import MeasurementInline, QualityInline
from models_app.admin.repositories import ShardInline
from models_app.gguf.quantization import described
from models_app.models import Job, Variant
from models_app.units import format_bytes, format_params

BADGES_WITHIN_SECONDS = 0.15
"""Plans that are not known by then are left out of the list, and are there the next time."""

FACTS = (
    "repository",
    "origin",
    "made_from",
    "revision",
    "recipe",
    "quantization_explained",
    "architecture",
    "params",
    "n_layers",
    "n_ctx_train",
    "has_chat_template",
    "size",
    "kv_per_token",
    "licence",
    "tags",
    "created_at",
    "last_used_at",
)
WISHES = (
    "n_ctx_seq",
    "least_n_ctx_seq",
    "n_seq_max",
    "may_quantize_kv",
    "may_leave_gpu",
    "n_gpu_layers",
    "pinned",
    "keep_alive_seconds",
)


class VariantList(ChangeList):
    """Its rows carry what the database does not know: `residency_now` and `plan_badge`."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)  # type: ignore[has-type]  # unfold's class has no types
        found = badges.badges(rows, BADGES_WITHIN_SECONDS)
        host = ask_host.status_now()
        states = states_of(host["residents"]) if host else None
        for row in rows:
            row.plan_badge = found.get(row.pk)
            row.residency_now = None if states is None else states.get(row.pk, "absent")
        self.result_list = rows


@admin.register(Variant)
class VariantAdmin(VariantActions, NotByHand, SizeColumn, ModelAdmin):
    """Administers variants. They are made by add_model, scan_models and jobs."""

    list_display = ("called", "state", "residency", "plan", "size_and_speed", "jobs_now", "used")
    list_filter = (
        AvailabilityFilter,
        ResidencyFilter,
        JobStateFilter,
        "enabled",
        "pinned",
        "quantization",
        "architecture",
        "origin",
        "groups",
        "repository__kind",
    )
    list_select_related = ("repository",)
    list_per_page = 100
    list_fullwidth = True
    search_fields = ("name", "architecture", "quantization", "repository__name", "shards__path")
    ordering = ("name",)
    inlines: ClassVar = [ShardInline, MeasurementInline, QualityInline]
    readonly_fields = ("state_told", "plan_told", *FACTS)
    fieldsets = (
        (None, {"fields": ("name", "state_told", "plan_told", "enabled", "groups")}),
        (_("Settings"), {"fields": WISHES}),
        (_("Facts"), {"fields": FACTS}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Variant]:
        running = Count("jobs", filter=Q(jobs__state__in=Job.ACTIVE), distinct=True)
        rows: QuerySet[Variant] = super().get_queryset(request)
        return rows.annotate(n_jobs=running)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        """Its fields are called as on the variant's own page."""
        return super().get_form(request, obj, change, **{"labels": VariantForm.Meta.labels, **options})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[VariantList]:
        return VariantList

    def view_on_site(self, variant: Variant) -> str:
        return reverse("model", args=[_as_stored(variant).name])

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Asked on the variant's own page: what goes, what stays, what depends on it."""
        variant = self.get_object(request, object_id)
        if variant is None or not self.has_delete_permission(request, variant):
            answer: HttpResponse = super().delete_view(request, object_id, extra_context)
            return answer
        return redirect("model-delete", variant.name)

    def save_model(self, request: HttpRequest, obj: Variant, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "pinned" not in form.changed_data:
            return
        try:
            ask_host.call(lambda client: client.pin(obj.pk, obj.pinned))
        except (HostUnavailable, HostRefusal):
            self.message_user(
                request, gettext("Stored. The model host will know of the pin when it asks next."), messages.WARNING
            )

    @admin.display(description=_("variant"), ordering="name")
    def called(self, variant: Variant) -> str:
        """Its name, and in a second line what it is."""
        n_params = "" if variant.n_params is None else format_params(variant.n_params)
        return stacked(variant.name, " · ".join(filter(None, (variant.architecture, n_params, variant.quantization))))

    @admin.display(description=_("size, speed"), ordering="size_bytes")
    def size_and_speed(self, variant: Any) -> str:
        """Bytes, and in a second line what the plan promises."""
        found: Badge | None = variant.plan_badge
        speed = "" if found is None else found.speed
        return stacked(format_bytes(variant.size_bytes), speed, css_class="stacked whole")

    @display(description=_("state"), label={"usable": "success", "disabled": "warning", "trouble": "danger"})
    def state(self, variant: Variant) -> tuple[str, Any]:
        if variant.missing_since is not None:
            return "trouble", _("files missing")
        if variant.problem:
            return "trouble", _("files broken")
        return ("usable", _("usable")) if variant.enabled else ("disabled", _("disabled"))

    @admin.display(description=_("state"))
    def state_told(self, variant: Variant) -> Any:
        return variant.unusable_reason or (_("usable") if variant.enabled else _("disabled"))

    @display(
        description=_("in memory"),
        label={
            "resident": "success",
            "loading": "info",
            "draining": "warning",
            "unloading": "warning",
            "failed": "danger",
            "absent": "default",
            "unknown": "default",
        },
    )
    def residency(self, variant: Any) -> tuple[str, str]:
        state = variant.residency_now
        words = state_words(state) if state else gettext("not known")
        return state or "unknown", gettext("{state}, pinned").format(state=words) if variant.pinned else words

    @display(
        description=_("on this box"),
        label={"whole": "success", "part": "warning", "ram": "warning", "no": "danger", "unknown": "info"},
    )
    def plan(self, variant: Any) -> tuple[str, str]:
        found: Badge | None = variant.plan_badge
        return ("unknown", "…") if found is None else (found.fit.value, found.words)

    @admin.display(description=_("on this box"))
    def plan_told(self, variant: Variant) -> str:
        found = badges.badges([_as_stored(variant)], BADGES_WITHIN_SECONDS).get(variant.pk)
        return gettext("not worked out yet") if found is None else f"{found.words.capitalize()}. {found.detail}"

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        return super().formfield_for_manytomany(
            db_field, request, widget=UnfoldAdminCheckboxSelectMultipleWidget, **options
        )

    @admin.display(description=_("jobs"), ordering="n_jobs", empty_value="–")
    def jobs_now(self, variant: Any) -> str | None:
        if not variant.n_jobs:
            return None
        return gettext("{n} not ended").format(n=variant.n_jobs).replace(" ", "\N{NO-BREAK SPACE}")

    @admin.display(description=_("last used"), ordering="last_used_at")
    def used(self, variant: Variant) -> str:
        return last_used(variant, timezone.now()) or gettext("never")

    @admin.display(description=_("parameters"), ordering="n_params", empty_value="–")
    def params(self, variant: Variant) -> str | None:
        return None if variant.n_params is None else format_params(variant.n_params)

    @admin.display(description=_("KV cache per token"))
    def kv_per_token(self, variant: Variant) -> str:
        n_bytes = variant.kv_bytes_per_token
        return gettext("the header does not tell") if n_bytes is None else format_bytes(n_bytes)

    @admin.display(description=_("quantization"))
    def quantization_explained(self, variant: Variant) -> str:
        said = described(variant.quantization)
        return f"{variant.quantization}. {said}" if said else variant.quantization or "–"


def _as_stored(variant: Variant) -> Variant:
    """The row as stored, without what a refused form has written into the object."""
    return Variant.objects.get(pk=variant.pk)
