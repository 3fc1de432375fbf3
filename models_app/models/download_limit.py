"""The limit of all downloads, where it was set on a page."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

LEAST_BYTES_PER_SECOND = 1024
"""A download at less would never end: who writes it has left out the unit."""


class DownloadLimit(models.Model):
    """The one row of what was set on a page. Without it the environment's holds."""

    bytes_per_second = models.BigIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(LEAST_BYTES_PER_SECOND)],
        help_text=_("Of all downloads together. Empty: as fast as they come."),
    )
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    set_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("download limit")
        verbose_name_plural = _("download limit")

    def __str__(self) -> str:
        return "download limit"
