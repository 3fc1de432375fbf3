"""Jobs with their logs. They are started where their subject is; here they are watched, paused, cancelled and retried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from inference.web.jobs.rows import JobRow, job_row
from inference.web.visibility.queries import visibility_at_the_console
from models_app import jobs
from models_app.admin.base import ReadOnly, stacked
from models_app.intake.limit_setting import current_limit
from models_app.intake.quarantine import quarantined_bytes, quarantined_files
from models_app.models import Job, JobLine
from models_app.units import format_bytes

STATE_LABELS = {
    Job.State.QUEUED: "info",
    Job.State.RUNNING: "primary",
    Job.State.PAUSED: "warning",
    Job.State.WAITING: "warning",
    Job.State.DONE: "success",
    Job.State.FAILED: "danger",
    Job.State.CANCELLED: "danger",
}
LAST_LINES = 8
"""Of the log, beside the progress."""


def _row(job: Job) -> JobRow:
    """The job as an administrator sees it."""
    return job_row(job, 0, True, timezone.now(), visibility_at_the_console())


class JobLineInline(ReadOnly, TabularInline):
    model = JobLine
    verbose_name_plural = _("log")
    extra = 0
    can_delete = False
    hide_title = True
    per_page = 50
    fields = ("at", "level", "text")
    readonly_fields = fields


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("active", _("Not ended")), *Job.State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        value = self.value()
        if value == "active":
            return queryset.filter(state__in=Job.ACTIVE)
        return queryset.filter(state=value) if value in Job.State.values else queryset


@admin.register(Job)
class JobAdmin(ReadOnly, ModelAdmin):
    list_display = ("called", "state_label", "progress", "by", "created_at", "ended_at")
    list_filter = (StateFilter, "kind", "created_by")
    list_select_related = ("created_by",)
    search_fields = ("title", "variant__name", "reason")
    inlines: ClassVar = [JobLineInline]
    actions: ClassVar = ["pause", "resume", "cancel", "retry"]
    change_form_before_template = "admin/models_app/job/live.html"
    list_before_template = "admin/models_app/job/beside.html"
    fieldsets = (
        (None, {"fields": ("title", "kind", "variant", "created_by", "spec", "kept")}),
        (_("Times"), {"fields": ("created_at", "started_at", "ended_at", "run_after", "attempts", "claimed_by")}),
    )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Lists jobs beside the limit on downloads and the quarantine, which the page of jobs deals with."""
        put_away_size = format_bytes(quarantined_bytes())
        told = {"limit": current_limit(), "n_put_away": len(quarantined_files()), "put_away_size": put_away_size}
        answer: HttpResponse = super().changelist_view(request, {**(extra_context or {}), **told})
        return answer

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """One that has not ended holds files: cancel it first."""
        return not (obj is not None and obj.is_active) and super().has_delete_permission(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        queryset.filter(state__in=Job.ENDED).delete()

    def get_urls(self) -> list[URLPattern]:
        live = path("<int:pk>/live/", self.admin_site.admin_view(self.live), name="models_app_job_live")
        return [live, *super().get_urls()]

    def live(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Renders how far the job is, with the end of its log. The page asks again for as long as it runs."""
        job = get_object_or_404(Job.objects.select_related("created_by"), pk=pk)
        if not self.has_view_permission(request, job):
            raise PermissionDenied
        lines = list(job.lines.order_by("-pk")[:LAST_LINES])[::-1]
        return render(request, "admin/models_app/job/progress.html", {"pk": pk, "job": _row(job), "lines": lines})

    @admin.display(description=_("job"), ordering="title")
    def called(self, job: Job) -> str:
        """Its title, and in a second line what kind it is."""
        return stacked(job.title, job.kind)

    @admin.display(description=_("begun by"), ordering="created_by__username", empty_value="–")
    def by(self, job: Job) -> str | None:
        return None if job.created_by is None else job.created_by.get_username()

    @display(description=_("state"), label=STATE_LABELS, ordering="state")
    def state_label(self, job: Job) -> tuple[str, str]:
        return job.state, _row(job)["state_words"]

    @admin.display(description=_("progress"), empty_value="–")
    def progress(self, job: Job) -> str | None:
        return _row(job)["facts"] or None

    @admin.action(description=_("Pause"))
    def pause(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, jobs.pause, _("Paused: {jobs}."))

    @admin.action(description=_("Resume"))
    def resume(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, jobs.resume, _("Resumed: {jobs}."))

    @admin.action(description=_("Cancel"))
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, jobs.cancel, _("Cancelled: {jobs}."))

    @admin.action(description=_("Retry"))
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, jobs.retry, _("Retried: {jobs}."))

    def _each(self, request: HttpRequest, queryset: QuerySet[Job], act: Callable[[Job, Any], bool], done: Any) -> None:
        wanted = list(queryset)
        changed = [job for job in wanted if act(job, request.user)]
        if changed:
            self.message_user(request, done.format(jobs=", ".join(job.title for job in changed)))
        if n_not := len(wanted) - len(changed):
            text = ngettext(
                "{n} is in a state in which that does not apply.",
                "{n} are in a state in which that does not apply.",
                n_not,
            )
            self.message_user(request, text.format(n=n_not), messages.WARNING)
