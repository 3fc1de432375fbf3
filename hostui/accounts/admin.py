from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Count, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import capfirst
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from hostui.accounts.models import INVITATION_DAYS, ApiKey, Invitation
from hostui.http.addresses import base_urls
from models_app.audit import THE_BOX, outlive
from models_app.catalog.access import user_of


def _base_url(request: HttpRequest) -> str:
    """Where the invited person finds this box: as the administrator did, unless that works on the box alone."""
    is_local = request.get_host().startswith(("localhost", "127.", "[::1]"))
    return base_urls()[0] if is_local else request.build_absolute_uri("/").rstrip("/")


@admin.register(Invitation)
class InvitationAdmin(ModelAdmin):
    list_display: ClassVar = ["created_at", "created_by", "is_superuser", "expires_at", "used_at", "used_by"]
    fields: ClassVar = ["is_superuser"]

    def has_change_permission(self, request: HttpRequest, obj: Invitation | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Invitation, form: ModelForm[Invitation], change: bool) -> None:
        token = obj.give_token(created_by=user_of(request))
        obj.save()
        link = _base_url(request) + reverse("claim", args=[token])
        text = format_html(
            "Send this link; it works once, for {} days, and is shown only now: {}", INVITATION_DAYS, link
        )
        messages.warning(request, text)


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    list_display: ClassVar = ["prefix", "name", "user", "created_at", "last_used_at", "revoked_at"]
    list_filter: ClassVar = ["user"]
    fields: ClassVar = ["user", "name"]
    actions: ClassVar = ["revoke"]

    def save_model(self, request: HttpRequest, obj: ApiKey, form: ModelForm[ApiKey], change: bool) -> None:
        row, key = ApiKey.issue(obj.user, obj.name, user_of(request))
        obj.pk, obj.prefix, obj.created_at = row.pk, row.prefix, row.created_at
        text = format_html("The key of {} is shown only now: {}", obj.user.get_username(), key)
        messages.warning(request, text)

    def log_addition(self, request: HttpRequest, obj: ApiKey, message: Any) -> None:
        """ApiKey.issue has written it down, for all who call it."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """A key of somebody who may not come in would not work."""
        if db_field.name == "user":
            options["queryset"] = User.objects.filter(is_active=True)
        return super().formfield_for_foreignkey(db_field, request, **options)

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return request.user.is_superuser and obj is None

    @admin.action(description="Revoke the selected API keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset.filter(revoked_at=None):
            self.log_change(request, key, "Revoked.")
        count = queryset.filter(revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"{count} revoked.")


admin.site.unregister([User, Group])


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]  # Django's takes none at run time
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "is_active", "is_staff", "is_superuser", "in_groups", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """People: the account that the log has for the box itself is nobody's to change."""
        return super().get_queryset(request).exclude(username=THE_BOX).prefetch_related("groups")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Their keys, invitations and conversations; what they did stays in the log."""
        rows, counts, unpermitted, protected = super().get_deleted_objects(objs, request)
        kept = LogEntry._meta
        counts.pop(str(kept.verbose_name_plural), None)
        return _without(rows, f"{capfirst(kept.verbose_name)}:"), counts, unpermitted - {kept.verbose_name}, protected

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        with transaction.atomic():
            outlive([obj])
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        with transaction.atomic():
            outlive(list(queryset))
            super().delete_queryset(request, queryset)

    @admin.display(description="groups", empty_value="–")
    def in_groups(self, user: User) -> str | None:
        return ", ".join(sorted(group.name for group in user.groups.all())) or None


def _without(rows: list[Any], start: str) -> list[Any]:
    """Nested lists of names, less those that begin so."""
    return [
        _without(each, start) if isinstance(each, list) else each
        for each in rows
        if isinstance(each, list) or not str(each).startswith(start)
    ]


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Groups say who may use which variant; see models_app.catalog.access."""

    list_display = ("name", "n_members", "for_variants")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        counted = super().get_queryset(request).annotate(member_count=Count("user", distinct=True))
        return counted.prefetch_related("variants")

    @admin.display(description="members", ordering="member_count")
    def n_members(self, group: Group) -> int:
        return group.member_count  # type: ignore[attr-defined,no-any-return]

    @admin.display(description="may use, besides what everybody may", empty_value="–")
    def for_variants(self, group: Group) -> str | None:
        return ", ".join(variant.name for variant in group.variants.all()) or None


@admin.register(LogEntry)
class LogEntryAdmin(ModelAdmin):
    """Who changed what, and when: in the admin, on the pages and through jobs. Nobody edits it."""

    list_display: ClassVar = ["at", "who", "kind", "called", "message"]
    list_filter: ClassVar = ["user", "content_type", "action_flag"]
    list_select_related: ClassVar = ["user", "content_type"]
    search_fields: ClassVar = ["object_repr", "change_message", "user__username"]
    date_hierarchy = "action_time"
    fields: ClassVar = ["at", "who", "kind", "called", "message"]
    readonly_fields: ClassVar = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: LogEntry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: LogEntry | None = None) -> bool:
        return False

    @admin.display(description="when (UTC)", ordering="action_time")
    def at(self, entry: LogEntry) -> str:
        return f"{entry.action_time:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="who", ordering="user__username")
    def who(self, entry: LogEntry) -> str:
        name: str = entry.user.get_username()
        return name

    @admin.display(description="of what kind", ordering="content_type", empty_value="–")
    def kind(self, entry: LogEntry) -> str | None:
        return None if entry.content_type is None else entry.content_type.name

    @admin.display(description="of what", ordering="object_repr")
    def called(self, entry: LogEntry) -> str:
        name: str = entry.object_repr
        return name

    @admin.display(description="what")
    def message(self, entry: LogEntry) -> str:
        return entry.get_change_message() or ("Deleted." if entry.is_deletion() else "Changed.")
