"""What the quality panel of a variant's page shows, wherever that panel is included."""

from __future__ import annotations

from django import template

from inference.web.models.siblings import Siblings, siblings
from models_app.catalog.access import usable_by
from models_app.models import Job, Variant

register = template.Library()


@register.simple_tag(takes_context=True)
def siblings_of(context: template.Context, variant: Variant) -> Siblings:
    """Those that the reader may use; staff sees all."""
    user = context["user"]
    return siblings(variant, None if user.is_staff else usable_by(user, Variant.objects.all()))


@register.simple_tag
def is_measured_now(variant: Variant) -> bool:
    return Job.objects.filter(kind="measure", variant=variant, state__in=Job.ACTIVE).exists()
