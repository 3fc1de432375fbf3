from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from models_app.hardware.pools import profile_pools
from models_app.models import HardwareProfile
from models_app.units import format_bytes


@admin.register(HardwareProfile)
class HardwareProfileAdmin(ModelAdmin):
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
