"""How long ago something was, for templates."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone

from inference.web.models.rows import ago as words

register = template.Library()


@register.filter
def ago(at: datetime) -> str:
    """`just now`, `3 h ago`."""
    return words(at, timezone.now())
