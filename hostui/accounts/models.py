"""Who may come in: one-time invitations for people, keys for programs. Secrets are shown once and stored as digests."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import models, transaction
from django.utils import timezone

from models_app.audit import ADDITION, record

KEY_START = "hostui-"
INVITATION_DAYS = 7
LAST_USED_STEP = timedelta(minutes=1)


def secret_digest(secret: str) -> str:
    """SHA-256 in hex. The secrets are 256 random bits, so a fast digest loses nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Invitation(models.Model):
    """A link that makes one account. Without `created_by` it was made on the console."""

    token_digest = models.CharField(max_length=64, unique=True, editable=False)
    is_superuser = models.BooleanField("administrator", default=False)
    claims_the_box = models.BooleanField(
        default=False, editable=False, help_text="Printed by serve; void once there is an administrator."
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.CASCADE, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(editable=False)
    used_at = models.DateTimeField(null=True, blank=True, editable=False)
    used_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"invitation of {self.created_at:%Y-%m-%d %H:%M}" if self.created_at else "invitation"

    def give_token(self, *, created_by: User | None = None) -> str:
        """Makes this unsaved invitation last INVITATION_DAYS and returns its token. The caller saves, and shows it once."""
        token = secrets.token_urlsafe(32)
        self.token_digest = secret_digest(token)
        self.created_by = created_by
        self.expires_at = timezone.now() + timedelta(days=INVITATION_DAYS)
        return token

    @classmethod
    def claim_of_the_box(cls) -> str | None:
        """A fresh token for the first administrator, or None once there is one. Earlier unused claims end."""
        if get_user_model().objects.filter(is_superuser=True).exists():
            return None
        cls.objects.filter(claims_the_box=True, used_at=None).delete()
        invitation = cls(is_superuser=True, claims_the_box=True)
        token = invitation.give_token()
        invitation.save()
        return token

    @classmethod
    def issue(cls, *, is_superuser: bool) -> tuple[Invitation, str]:
        """A new invitation of the box's own, as the log says, and its token."""
        invitation = cls(is_superuser=is_superuser)
        token = invitation.give_token()
        with transaction.atomic():
            invitation.save()
            record([invitation], None, ADDITION, "Made on the console.")
        return invitation, token

    @classmethod
    def usable(cls, token: str) -> Invitation | None:
        """The invitation behind `token`, if it may still be used."""
        invitation = cls.objects.filter(token_digest=secret_digest(token), used_at=None).first()
        if invitation is None or invitation.expires_at <= timezone.now():
            return None
        if invitation.claims_the_box and get_user_model().objects.filter(is_superuser=True).exists():
            return None
        return invitation

    def use(self) -> bool:
        """Takes the invitation for the caller alone: True for one caller, False for everybody else."""
        return Invitation.objects.filter(pk=self.pk, used_at=None).update(used_at=timezone.now()) == 1


class ApiKey(models.Model):
    """What a program sends as `Authorization: Bearer hostui-…` to act as its user on /v1/."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, blank=True)
    prefix = models.CharField(max_length=16, editable=False, help_text="How the key begins, to tell keys apart.")
    key_digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="To the minute.")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.prefix}… {self.name}".strip()

    @classmethod
    def issue(cls, user: User, name: str = "", made_by: User | None = None) -> tuple[ApiKey, str]:
        """A new key of `user`: its row, and the key itself, which is stored nowhere. The log says who made it; None: the box."""
        key = KEY_START + secrets.token_urlsafe(32)
        with transaction.atomic():
            row = cls.objects.create(
                user=user, name=name, prefix=key[: len(KEY_START) + 5], key_digest=secret_digest(key)
            )
            maker = None if made_by is None else made_by.pk
            record([row], maker, ADDITION, f"Made for {user.get_username()}.")
        return row, key

    @classmethod
    def holder(cls, key: str) -> ApiKey | None:
        """The key's row with its user, unless it is unknown, revoked, or its user is inactive.

        Looked up by digest: how long the database takes tells nothing about the key.
        """
        if not key.startswith(KEY_START):
            return None
        row = cls.objects.select_related("user").filter(key_digest=secret_digest(key), revoked_at=None).first()
        if row is None or not row.user.is_active:
            return None
        now = timezone.now()
        if row.last_used_at is None or now - row.last_used_at >= LAST_USED_STEP:
            cls.objects.filter(pk=row.pk).update(last_used_at=now)
        return row
