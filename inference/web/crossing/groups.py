"""Telling the open tabs of one person, in every web process, that something of theirs changed. The server names the groups."""

from __future__ import annotations

from uuid import UUID

from channels.layers import get_channel_layer


def user_group(user_id: int) -> str:
    return f"user.{user_id}"


async def announce(user_id: int, conversation: UUID | None = None, origin: str | None = None) -> None:
    """The list of conversations changed; where `conversation` is given, its messages did too. `origin` knows already."""
    layer = get_channel_layer()
    assert layer is not None, "the settings name one"
    await layer.group_send(
        user_group(user_id),
        {
            "type": "chat.changed",
            "conversation": str(conversation) if conversation else None,
            "origin": origin,
        },
    )
