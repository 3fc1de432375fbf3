"""What several of the admin's pages share."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from models_app.models import Shard, Variant
from models_app.units import format_bytes


def stacked(first: str, second: str, css_class: str = "stacked") -> str:
    """Two lines in one column; see static/css/admin.css."""
    return format_html('<span class="{}"><span>{}</span><small>{}</small></span>', css_class, first, second)


class NotByHand:
    """For rows that come from files, from the host or from jobs."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnly(NotByHand):
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class SizeColumn:
    """A `size` column out of `size_bytes`."""

    @admin.display(description=_("size"), ordering="size_bytes")
    def size(self, row: Variant | Shard) -> str:
        return format_bytes(row.size_bytes)


class FactsAdmin(ReadOnly, ModelAdmin):
    """Facts that the host writes. They may be thrown away: the next load or dry run makes them anew."""
