from __future__ import annotations

from typing import ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from hostui.accounts.models import INVITATION_DAYS, ApiKey, Invitation
from hostui.addresses import base_urls


def _base_url(request: HttpRequest) -> str:
    """Where the invited person finds this box: as the administrator did, unless that works on the box alone."""
    is_local = request.get_host().startswith(("localhost", "127.", "[::1]"))
    return base_urls()[0] if is_local else request.build_absolute_uri("/").rstrip("/")


@admin.register(Invitation)
class InvitationAdmin(admin.ModelAdmin):
    list_display: ClassVar = ["created_at", "created_by", "is_superuser", "expires_at", "used_at", "used_by"]
    fields: ClassVar = ["is_superuser"]

    def has_change_permission(self, request: HttpRequest, obj: Invitation | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Invitation, form: ModelForm, change: bool) -> None:
        token = obj.give_token(created_by=request.user)
        obj.save()
        link = _base_url(request) + reverse("claim", args=[token])
        text = format_html(
            "Send this link; it works once, for {} days, and is shown only now: {}", INVITATION_DAYS, link
        )
        messages.warning(request, text)


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):
    list_display: ClassVar = ["prefix", "name", "user", "created_at", "last_used_at", "revoked_at"]
    list_filter: ClassVar = ["user"]
    actions: ClassVar = ["revoke"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a key is shown once, by manage.py create_key

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return request.user.is_superuser and obj is None

    @admin.action(description="Revoke the selected API keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet) -> None:
        count = queryset.filter(revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"{count} revoked.")
