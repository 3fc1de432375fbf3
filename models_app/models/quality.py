"""How good a variant is, and how fast: what was measured of it on a text that everybody has."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class Quality(models.Model):
    """The newest measurement of one variant."""

    variant = models.OneToOneField("models_app.Variant", on_delete=models.CASCADE, related_name="quality")
    text = models.CharField(max_length=80, help_text=_("The text that was read."))
    n_tokens = models.PositiveIntegerField(help_text=_("That were foretold."))
    perplexity = models.FloatField()
    perplexity_error = models.FloatField(help_text=_("One standard error."))

    reference = models.ForeignKey(
        "models_app.Variant",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("The best sibling, which it was compared with. Empty: there was none, or it is gone."),
    )
    reference_name = models.CharField(max_length=200, blank=True)
    kl_divergence = models.FloatField(
        null=True, blank=True, help_text=_("Of its guesses from the reference's, in nats; 0 are the same guesses.")
    )
    kl_error = models.FloatField(null=True, blank=True, help_text=_("One standard error."))
    same_top = models.FloatField(
        null=True, blank=True, help_text=_("How often its likeliest token is the reference's, from 0 to 1.")
    )

    decode_tokens_per_second = models.FloatField(null=True, blank=True)
    prefill_tokens_per_second = models.FloatField(null=True, blank=True)
    load_seconds = models.FloatField(null=True, blank=True)

    fingerprint = models.CharField(max_length=200, blank=True, help_text=_("Of the files: changes when they do."))
    engine_version = models.CharField(max_length=40)
    measured_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "qualities"
        ordering: ClassVar = ["-measured_at"]

    def __str__(self) -> str:
        return f"{self.variant_id}: {self.perplexity:.3f}"
