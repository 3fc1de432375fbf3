"""What loads took and dry runs found, so that the next plan is better than the header alone."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class Measurement(models.Model):
    """One device's share of one way to load a variant, as last measured."""

    variant = models.ForeignKey("models_app.Variant", on_delete=models.CASCADE, related_name="measurements")
    options = models.JSONField(help_text=_("Load options, spelled as llama.cpp does."))
    options_digest = models.CharField(max_length=64, editable=False)
    fingerprint = models.CharField(max_length=200, blank=True, help_text=_("Of the files: changes when they do."))
    device = models.CharField(max_length=20, help_text=_("ram, gpu0, gpu1, …"))
    engine_version = models.CharField(max_length=40)

    # {"weights": …, "kv": …, "compute": …}, each in bytes.
    estimated_bytes = models.JSONField(null=True, help_text=_("By the header; none where it did not tell."))
    measured_bytes = models.JSONField()
    overhead_bytes = models.BigIntegerField(
        null=True, help_text=_("Held beyond the buffers; none where the driver does not tell.")
    )
    decode_tokens_per_second = models.FloatField(null=True)
    load_seconds = models.FloatField()

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar = ["-updated_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["variant", "options_digest", "device", "engine_version"], name="one_measurement_per_way"
            )
        ]

    def __str__(self) -> str:
        return f"{self.variant_id} on {self.device}"

    @property
    def estimated_total_bytes(self) -> int | None:
        return None if self.estimated_bytes is None else sum(self.estimated_bytes.values())

    @property
    def measured_total_bytes(self) -> int:
        """The sum of all buffers, without the overhead."""
        return sum(self.measured_bytes.values())


class DryRunResult(models.Model):
    """The exact buffers of one way to load one file, by device."""

    key = models.CharField(max_length=64, unique=True, help_text=_("Of files, options, engine version and devices."))
    compute_bytes = models.JSONField()
    engine_version = models.CharField(max_length=40)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return self.key[:12]
