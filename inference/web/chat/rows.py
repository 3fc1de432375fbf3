"""From rows to the payloads of inference.web.chat.protocol. Pure; both the page's first paint and the socket use these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from inference.core.loads.vocabulary import ResidencyState
from inference.host.api.messages import HostStatus
from inference.models import Conversation, Message
from inference.web.chat.protocol import ConversationRow, ConversationView, MessageView, OfferedVariantView
from inference.web.visibility.offered import OfferedVariant


def message_view(message: Message, siblings: Sequence[UUID]) -> MessageView:
    """`message` as it is stored; a running answer's present text is added by inference.web.chat.turn."""
    return {
        "id": str(message.pk),
        "parent": str(message.parent_id) if message.parent_id else None,
        "siblings": [str(sibling) for sibling in siblings],
        "role": cast(Any, message.role),
        "content": message.content,
        "reasoning": message.reasoning,
        "state": cast(Any, message.state),
        "n_tokens": message.n_tokens,
        "finish_reason": message.finish_reason,
        "error_code": message.error_code,
        "error_detail": message.error_detail,
        "variant_name": message.variant_name,
        "timings": message.timings,
        "wait": None,
        "created_at": message.created_at.isoformat(),
    }


def conversation_view(conversation: Conversation, messages: list[MessageView]) -> ConversationView:
    return {
        "type": "conversation",
        "id": str(conversation.pk),
        "title": conversation.title,
        "variant": conversation.variant_id,
        "options": conversation.options,
        "system_prompt": conversation.system_prompt,
        "messages": messages,
    }


def conversation_row(conversation: Conversation) -> ConversationRow:
    """Not running, as far as a row can tell."""
    return {
        "id": str(conversation.pk),
        "title": conversation.title,
        "updated_at": conversation.updated_at.isoformat(),
        "running": False,
    }


def variant_view(variant: OfferedVariant, residents: Mapping[int, Mapping[str, Any]]) -> OfferedVariantView:
    """`residents` by variant id, as the host says; a variant it does not name is absent."""
    resident = residents.get(variant.pk, {})
    return {
        "id": variant.pk,
        "name": variant.name,
        "state": cast(ResidencyState, resident.get("state", "absent")),
        "fraction": resident.get("fraction"),
        "mode": resident.get("mode"),
        "failure_detail": resident.get("failure_detail"),
        "size_bytes": variant.size_bytes,
        "queued": resident.get("queued", 0),
        "trouble": variant.unusable_reason,
    }


def variant_views(variants: Sequence[OfferedVariant], status: HostStatus | None) -> list[OfferedVariantView]:
    residents = (
        {each["variant_id"]: each for each in status["residents"] if each["purpose"] == "chat"} if status else {}
    )
    return [variant_view(each, residents) for each in variants]
