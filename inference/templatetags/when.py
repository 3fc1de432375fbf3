"""How long ago something was, for templates."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone

from inference.wording import times

register = template.Library()


@register.filter
def ago(at: datetime) -> str:
    """`just now`, `3 h ago`."""
    return times.ago(at, timezone.now())
