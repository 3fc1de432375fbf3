from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from inference.web.crossing.ask_host import status_now
from inference.web.models.rows import states_of
from models_app.models import Job, Variant


class AvailabilityFilter(admin.SimpleListFilter):
    title = _("availability")
    parameter_name = "availability"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("usable", _("Usable")), ("missing", _("Files missing")), ("broken", _("Files broken"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Variant]) -> QuerySet[Variant]:
        if self.value() == "usable":
            return queryset.filter(enabled=True, missing_since=None, problem="")
        if self.value() == "missing":
            return queryset.exclude(missing_since=None)
        if self.value() == "broken":
            return queryset.exclude(problem="")
        return queryset


class ResidencyFilter(admin.SimpleListFilter):
    """Filters by what the host says is in memory. While it does not answer, nothing is as far as is known."""

    title = _("in memory")
    parameter_name = "residency"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("memory", _("In memory")), ("failed", _("Failed to load")), ("disk", _("On disk"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Variant]) -> QuerySet[Variant]:
        if self.value() not in ("memory", "failed", "disk"):
            return queryset
        host = status_now()
        states = states_of(host["residents"]) if host else {}
        in_memory = [pk for pk, state in states.items() if state not in ("absent", "failed")]
        if self.value() == "memory":
            return queryset.filter(pk__in=in_memory)
        if self.value() == "failed":
            return queryset.filter(pk__in=[pk for pk, state in states.items() if state == "failed"])
        return queryset.exclude(pk__in=in_memory)


class JobStateFilter(admin.SimpleListFilter):
    title = _("jobs")
    parameter_name = "job"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("active", _("Not ended")), *Job.State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Variant]) -> QuerySet[Variant]:
        value = self.value()
        states = Job.ACTIVE if value == "active" else (value,) if value in Job.State.values else None
        if states is None:
            return queryset
        return queryset.filter(pk__in=Job.objects.filter(state__in=states).exclude(variant=None).values("variant"))
