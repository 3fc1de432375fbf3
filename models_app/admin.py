"""The inventory in Django's admin: facts are read-only, the owner's wishes are editable."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from models_app.hardware.pools import profile_pools
from models_app.models import DryRunResult, HardwareProfile, Measurement, Repository, Shard, Variant
from models_app.quantization import QUANTIZATION_TYPES_BY_NAME
from models_app.units import format_bytes, format_params


class NotByHand:
    """For rows that come from files or from the host."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Sized:
    """A `size` column out of `size_bytes`."""

    @admin.display(description=_("size"), ordering="size_bytes")
    def size(self, row: Variant | Shard) -> str:
        return format_bytes(row.size_bytes)


class ShardInline(NotByHand, Sized, admin.TabularInline):
    model = Shard
    extra = 0
    can_delete = False
    fields = ("number", "path", "size", "sha256")
    readonly_fields = fields


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


FACTS = (
    "repository",
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


@admin.register(Variant)
class VariantAdmin(NotByHand, Sized, admin.ModelAdmin):
    """add_model and scan_models make variants."""

    list_display = (
        "name",
        "state",
        "enabled",
        "pinned",
        "quantization",
        "architecture",
        "size",
        "params",
        "last_used_at",
    )
    list_filter = (AvailabilityFilter, "enabled", "pinned", "quantization", "architecture", "repository__kind")
    list_select_related = ("repository",)
    list_per_page = 100
    search_fields = ("name", "architecture", "quantization", "repository__name", "shards__path")
    ordering = ("name",)
    inlines: ClassVar = [ShardInline]
    actions: ClassVar = ["enable", "disable"]
    readonly_fields = ("state", *FACTS)
    fieldsets = (
        (None, {"fields": ("name", "state", "enabled")}),
        (
            _("Wishes"),
            {
                "fields": (
                    "n_ctx_seq",
                    "least_n_ctx_seq",
                    "n_seq_max",
                    "may_quantize_kv",
                    "may_leave_gpu",
                    "n_gpu_layers",
                    "pinned",
                    "keep_alive_seconds",
                )
            },
        ),
        (_("Facts"), {"fields": FACTS}),
    )

    @admin.display(description=_("state"))
    def state(self, variant: Variant) -> str:
        return variant.trouble or (_("usable") if variant.enabled else _("disabled"))

    @admin.display(description=_("parameters"), ordering="n_params", empty_value="–")
    def params(self, variant: Variant) -> str | None:
        return None if variant.n_params is None else format_params(variant.n_params)

    @admin.display(description=_("KV cache per token"), empty_value=_("the header does not tell"))
    def kv_per_token(self, variant: Variant) -> str | None:
        return None if variant.kv_bytes_per_token is None else format_bytes(variant.kv_bytes_per_token)

    @admin.display(description=_("quantization"))
    def quantization_explained(self, variant: Variant) -> str:
        known = QUANTIZATION_TYPES_BY_NAME.get(variant.quantization)
        return f"{variant.quantization}. {known.description}" if known else variant.quantization or "–"

    @admin.action(description=_("Enable selected variants"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Variant]) -> None:
        n = _switch(queryset, True)
        self.message_user(request, ngettext("%d variant enabled.", "%d variants enabled.", n) % n)

    @admin.action(description=_("Disable selected variants"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Variant]) -> None:
        n = _switch(queryset, False)
        self.message_user(request, ngettext("%d variant disabled.", "%d variants disabled.", n) % n)


def _switch(variants: QuerySet[Variant], enabled: bool) -> int:
    """How many were switched: those that already were as wished don't count."""
    return variants.filter(enabled=not enabled).update(enabled=enabled)


@admin.register(Repository)
class RepositoryAdmin(NotByHand, admin.ModelAdmin):
    list_display = ("name", "kind", "n_variants", "size", "created_at")
    list_filter = ("kind",)
    search_fields = ("name",)
    readonly_fields = ("name", "kind", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Repository]:
        counted = super().get_queryset(request)
        return counted.annotate(_n_variants=Count("variants"), _size_bytes=Sum("variants__size_bytes"))

    @admin.display(description=_("variants"), ordering="_n_variants")
    def n_variants(self, repository: Any) -> int:
        count: int = repository._n_variants
        return count

    @admin.display(description=_("size"), ordering="_size_bytes")
    def size(self, repository: Any) -> str:
        return format_bytes(repository._size_bytes or 0)


@admin.register(Shard)
class ShardAdmin(NotByHand, Sized, admin.ModelAdmin):
    list_display = ("path", "variant", "number", "size", "sha256")
    list_select_related = ("variant",)
    search_fields = ("path", "variant__name", "sha256")
    readonly_fields = ("variant", "number", "path", "size_bytes", "mtime_ns", "sha256")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only along with its variant: alone, the next scan would add its file as another variant."""
        match = request.resolver_match
        alone = match is not None and (match.url_name or "").startswith("models_app_shard")
        return not alone and super().has_delete_permission(request, obj)


@admin.register(HardwareProfile)
class HardwareProfileAdmin(admin.ModelAdmin):
    list_display = ("name", "is_this_machine", "devices", "vram", "ram", "n_cores", "budgets", "updated_at")
    list_filter = ("is_this_machine",)
    readonly_fields = ("is_this_machine", "devices", "vram", "budgets", "updated_at")
    search_fields = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "is_this_machine", "n_cores")}),
        (_("RAM"), {"fields": ("ram_bytes", "ram_bandwidth_bytes_per_second", "ram_budget", "ram_reserve")}),
        (_("Graphics cards"), {"fields": ("gpus",)}),
        (_("As it is read"), {"fields": ("devices", "vram", "budgets", "updated_at")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: HardwareProfile | None = None) -> Any:
        found = super().get_fieldsets(request, obj)
        return found if obj is not None else found[:-1]

    def has_delete_permission(self, request: HttpRequest, obj: HardwareProfile | None = None) -> bool:
        """This machine would be detected again at once, without its budgets."""
        return not (obj is not None and obj.is_this_machine) and super().has_delete_permission(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[HardwareProfile]) -> None:
        queryset.filter(is_this_machine=False).delete()

    @admin.display(description=_("graphics cards"), empty_value="–")
    def devices(self, row: HardwareProfile) -> str | None:
        return ", ".join(gpu.name for gpu in row.profile().gpus) or None

    @admin.display(description=_("VRAM"), empty_value="–")
    def vram(self, row: HardwareProfile) -> str | None:
        n_bytes = sum(gpu.memory_bytes for gpu in row.profile().gpus)
        return format_bytes(n_bytes) if n_bytes else None

    @admin.display(description=_("RAM"), ordering="ram_bytes")
    def ram(self, row: HardwareProfile) -> str:
        return format_bytes(row.ram_bytes)

    @admin.display(description=_("may be spent"))
    def budgets(self, row: HardwareProfile) -> str:
        return ", ".join(f"{pool.name} {format_bytes(pool.budget_bytes)}" for pool in profile_pools(row.profile()))


class ReadOnlyAdmin(NotByHand, admin.ModelAdmin):
    """Facts that the host writes. They may be thrown away: the next load or dry run makes them anew."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Measurement)
class MeasurementAdmin(ReadOnlyAdmin):
    list_display = ("variant", "device", "estimated", "measured", "overhead", "load_seconds", "updated_at")
    list_filter = ("device", "engine_version")
    list_select_related = ("variant",)
    search_fields = ("variant__name",)

    @admin.display(description=_("estimated"), empty_value=_("the header does not tell"))
    def estimated(self, measurement: Measurement) -> str | None:
        total_bytes = measurement.estimated_total_bytes
        return None if total_bytes is None else format_bytes(total_bytes)

    @admin.display(description=_("measured"))
    def measured(self, measurement: Measurement) -> str:
        return format_bytes(measurement.measured_total_bytes)

    @admin.display(description=_("overhead"), empty_value=_("not known"))
    def overhead(self, measurement: Measurement) -> str | None:
        return None if measurement.overhead_bytes is None else format_bytes(measurement.overhead_bytes)


@admin.register(DryRunResult)
class DryRunResultAdmin(ReadOnlyAdmin):
    list_display = ("key", "buffers", "engine_version", "created_at")
    list_filter = ("engine_version",)
    search_fields = ("key",)

    @admin.display(description=_("buffers"))
    def buffers(self, result: DryRunResult) -> str:
        return ", ".join(f"{device} {format_bytes(size)}" for device, size in result.compute_bytes.items())
