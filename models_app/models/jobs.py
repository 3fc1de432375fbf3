"""Durable work. The row is the truth about a job: whoever runs it claims the row first and writes down how far it is."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class Job(models.Model):
    """One piece of work that outlives the process that does it. Written by models_app.jobs alone."""

    class State(models.TextChoices):
        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("Running")
        PAUSED = "paused", _("Paused")
        WAITING = "waiting", _("Waiting")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    class Wish(models.TextChoices):
        RUN = "run", _("Run")
        PAUSE = "pause", _("Pause")
        CANCEL = "cancel", _("Cancel")

    class Unit(models.TextChoices):
        BYTES = "bytes", _("Bytes")
        TENSORS = "tensors", _("Tensors")
        TOKENS = "tokens", _("Tokens")
        CHUNKS = "chunks", _("Chunks")

    ACTIVE = (State.QUEUED, State.RUNNING, State.PAUSED, State.WAITING)
    """Not ended: it holds or will hold files, rows or time."""
    ENDED = (State.DONE, State.FAILED, State.CANCELLED)

    kind = models.CharField(max_length=40)
    title = models.CharField(max_length=400, help_text=_("For people: what is done to what."))
    spec = models.JSONField(default=dict, help_text=_("What is to be done. Never changed."))
    kept = models.JSONField(default=dict, blank=True, help_text=_("What the next attempt needs to go on."))
    variant = models.ForeignKey(
        "models_app.Variant",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="jobs",
        help_text=_("What it works on or made."),
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    wish = models.CharField(max_length=10, choices=Wish, default=Wish.RUN)
    reason = models.TextField(blank=True, help_text=_("A sentence: why it waits, or why it failed."))
    run_after = models.DateTimeField(null=True, blank=True, help_text=_("Not before; empty: as soon as possible."))
    attempts = models.PositiveIntegerField(default=0, help_text=_("That failed in a row without getting any further."))

    stage = models.CharField(max_length=200, blank=True)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True, blank=True)
    unit = models.CharField(max_length=10, choices=Unit, blank=True)
    rate_per_second = models.FloatField(null=True, blank=True)

    claimed_by = models.CharField(max_length=200, blank=True, help_text=_("The process that runs it."))
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-pk"]
        indexes: ClassVar = [models.Index(fields=["state", "kind"], name="job_by_state")]

    def __str__(self) -> str:
        return self.title

    @property
    def is_active(self) -> bool:
        return self.state in self.ACTIVE


class JobLine(models.Model):
    """One line of a job's log."""

    class Level(models.TextChoices):
        INFO = "info", _("Info")
        WARNING = "warning", _("Warning")
        ERROR = "error", _("Error")

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="lines")
    at = models.DateTimeField(auto_now_add=True)
    level = models.CharField(max_length=10, choices=Level, default=Level.INFO)
    text = models.TextField()

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return self.text
