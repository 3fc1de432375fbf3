from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline

from models_app.admin.base import NotByHand, SizeColumn, stacked
from models_app.models import Repository, Shard
from models_app.units import format_bytes


class DigestColumn:
    """A `digest` column that leaves room for others: its beginning, and all of it where one points."""

    @admin.display(description=_("SHA-256"), ordering="sha256")
    def digest(self, shard: Shard) -> str:
        if not shard.sha256:
            return gettext("not known")
        return format_html('<code title="{}">{}…</code>', shard.sha256, shard.sha256[:12])


class ShardInline(DigestColumn, NotByHand, SizeColumn, TabularInline):
    model = Shard
    extra = 0
    can_delete = False
    hide_title = True
    tab = True
    fields = ("number", "path", "size", "digest", "verified_at")
    readonly_fields = fields


@admin.register(Repository)
class RepositoryAdmin(NotByHand, ModelAdmin):
    list_display = ("name", "kind", "n_variants", "size", "created_at")
    list_filter = ("kind",)
    search_fields = ("name",)
    readonly_fields = ("name", "kind", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Repository]:
        rows: QuerySet[Repository] = super().get_queryset(request)
        return rows.annotate(_n_variants=Count("variants"), _size_bytes=Sum("variants__size_bytes"))

    @admin.display(description=_("variants"), ordering="_n_variants")
    def n_variants(self, repository: Any) -> int:
        count: int = repository._n_variants
        return count

    @admin.display(description=_("size"), ordering="_size_bytes")
    def size(self, repository: Any) -> str:
        return format_bytes(repository._size_bytes or 0)


@admin.register(Shard)
class ShardAdmin(DigestColumn, NotByHand, SizeColumn, ModelAdmin):
    list_display = ("called", "number", "size", "digest", "verified_at")
    list_select_related = ("variant",)
    search_fields = ("path", "variant__name", "sha256")
    readonly_fields: ClassVar = [
        "variant",
        "number",
        "path",
        "remote_path",
        "size_bytes",
        "mtime_ns",
        "sha256",
        "verified_at",
        "other_sha256",
    ]

    @admin.display(description=_("file"), ordering="path")
    def called(self, shard: Shard) -> str:
        """Where it lies, and in a second line whose it is."""
        return stacked(shard.path, shard.variant.name)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only along with its variant: alone, the next scan would add its file as another variant."""
        match = request.resolver_match
        alone = match is not None and (match.url_name or "").startswith("models_app_shard")
        return not alone and super().has_delete_permission(request, obj)
