"""Lists and deletes conversations in the admin. They belong to the people who hold them: their text is not shown."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from inference.models import Conversation


@admin.register(Conversation)
class ConversationAdmin(ModelAdmin):
    list_display: ClassVar = ["id", "owner", "variant", "n_messages", "created_at", "updated_at"]
    list_select_related: ClassVar = ["owner", "variant"]
    list_filter: ClassVar = ["variant"]
    search_fields: ClassVar = ["=id", "owner__username"]
    date_hierarchy = "updated_at"
    fields: ClassVar = ["id", "owner", "variant", "created_at", "updated_at"]
    readonly_fields: ClassVar = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        rows: QuerySet[Conversation] = super().get_queryset(request)
        return rows.annotate(message_count=Count("messages"))

    @admin.display(description="messages", ordering="message_count")
    def n_messages(self, conversation: Conversation) -> int:
        return conversation.message_count  # type: ignore[attr-defined,no-any-return]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
