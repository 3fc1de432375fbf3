"""The Hub's tokens, sealed."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

SHOWN_CHARACTERS = 4
"""Of a token, at its end: enough to tell two apart."""


class HubToken(models.Model):
    """One endpoint's. A token never goes to another endpoint than the one it was entered for."""

    endpoint = models.CharField(max_length=400, unique=True)
    sealed = models.TextField(editable=False)
    last_four = models.CharField(max_length=SHOWN_CHARACTERS)
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    set_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("Hub token")
        ordering: ClassVar = ["endpoint"]

    def __str__(self) -> str:
        return f"…{self.last_four} for {self.endpoint}"
