"""Conversations and their messages, kept as a tree: a regenerated or edited message is a sibling, nothing is overwritten."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models


class Conversation(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations")
    title = models.CharField(max_length=200, blank=True)
    variant = models.ForeignKey(
        "models_app.Variant",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Picked last; the next turn uses it.",
    )
    system_prompt = models.TextField(blank=True)
    options = models.JSONField(
        default=dict,
        blank=True,
        help_text="inference.core.decoding.generation_options.GenerationOptions.to_json(), only what was set.",
    )
    leaf = models.ForeignKey(
        "Message",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The end of the branch that the page shows.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar = ["-updated_at"]
        indexes: ClassVar = [models.Index(fields=["owner", "-updated_at"])]

    def __str__(self) -> str:
        """Names it without its words, which are nobody's but the owner's; the admin and its log show this."""
        return f"conversation {self.pk}"


class Message(models.Model):
    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"

    class State(models.TextChoices):
        RUNNING = "running"
        COMPLETE = "complete"
        STOPPED = "stopped"
        INTERRUPTED = "interrupted"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")
    role = models.CharField(max_length=10, choices=Role)
    content = models.TextField(blank=True)
    reasoning = models.TextField(blank=True)
    state = models.CharField(max_length=12, choices=State, default=State.COMPLETE)
    n_tokens = models.PositiveIntegerField(default=0, help_text="Tokens that content and reasoning stand for.")
    finish_reason = models.CharField(max_length=20, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.TextField(blank=True)
    variant_name = models.CharField(
        max_length=200, blank=True, help_text="Who answered; stays when the variant is deleted."
    )
    timings = models.JSONField(
        null=True, blank=True, help_text="inference.engine.protocol.Timings, with ttft_ms and total_ms."
    )
    idempotency_key = models.CharField(
        max_length=100,
        null=True,
        blank=True,
        unique=True,
        editable=False,
        help_text="Owner and nonce of the socket message that asked for this answer: a repeated one finds it again.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["created_at"]
        indexes: ClassVar = [
            # Nearly every row is at rest; asking for the running ones must not read the others.
            models.Index(fields=["state"], name="running_messages", condition=models.Q(state="running"))
        ]

    def __str__(self) -> str:
        return f"{self.role} message {self.pk}"
