from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline

from models_app.admin.base import FactsAdmin, ReadOnly
from models_app.models import DryRunResult, Measurement, Quality
from models_app.units import format_bytes


class ByteColumns:
    """A measurement's bytes, as people read them."""

    @admin.display(description=_("estimated"))
    def estimated(self, measurement: Measurement) -> str:
        total_bytes = measurement.estimated_total_bytes
        return gettext("the header does not tell") if total_bytes is None else format_bytes(total_bytes)

    @admin.display(description=_("measured"))
    def measured(self, measurement: Measurement) -> str:
        return format_bytes(measurement.measured_total_bytes)

    @admin.display(description=_("overhead"))
    def overhead(self, measurement: Measurement) -> str:
        overhead_bytes = measurement.overhead_bytes
        return gettext("not known") if overhead_bytes is None else format_bytes(overhead_bytes)


class MeasurementInline(ByteColumns, ReadOnly, TabularInline):
    model = Measurement
    extra = 0
    can_delete = False
    hide_title = True
    tab = True
    fields: ClassVar = [
        "device",
        "options",
        "estimated",
        "measured",
        "overhead",
        "decode_tokens_per_second",
        "load_seconds",
        "updated_at",
    ]
    readonly_fields: ClassVar = fields


class QualityInline(ReadOnly, TabularInline):
    model = Quality
    fk_name = "variant"
    verbose_name_plural = _("quality")
    can_delete = False
    hide_title = True
    tab = True
    fields: ClassVar = [
        "perplexity",
        "kl_divergence",
        "same_top",
        "reference_name",
        "decode_tokens_per_second",
        "prefill_tokens_per_second",
        "load_seconds",
        "measured_at",
    ]
    readonly_fields: ClassVar = fields


@admin.register(Measurement)
class MeasurementAdmin(ByteColumns, FactsAdmin):
    list_display = ("variant", "device", "estimated", "measured", "overhead", "load_seconds", "updated_at")
    list_filter = ("device", "engine_version")
    list_select_related = ("variant",)
    search_fields = ("variant__name",)


@admin.register(DryRunResult)
class DryRunResultAdmin(FactsAdmin):
    list_display = ("key", "buffers", "engine_version", "created_at")
    list_filter = ("engine_version",)
    search_fields = ("key",)

    @admin.display(description=_("buffers"))
    def buffers(self, result: DryRunResult) -> str:
        return ", ".join(f"{device} {format_bytes(size)}" for device, size in result.compute_bytes.items())
