"""The tree of a conversation, as pure functions: which branch is shown, what is beside it, what the model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from inference.engine.protocol import ChatMessage

TITLE_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Node:
    """One message's place in the tree."""

    id: UUID
    parent: UUID | None


@dataclass(frozen=True, slots=True)
class ChatLine:
    """What one message says to the model."""

    role: str
    content: str


class Tree:
    """All messages of one conversation, oldest first."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._parents = {node.id: node.parent for node in nodes}
        self._children: dict[UUID | None, list[UUID]] = {}
        for node in nodes:
            self._children.setdefault(node.parent, []).append(node.id)

    def __contains__(self, message: UUID) -> bool:
        return message in self._parents

    def branch(self, leaf: UUID | None) -> list[UUID]:
        """From the root to `leaf`. Empty where `leaf` is None."""
        found: list[UUID] = []
        while leaf is not None:
            found.append(leaf)
            leaf = self._parents[leaf]
        return found[::-1]

    def siblings(self, message: UUID) -> list[UUID]:
        """All messages under the same parent, oldest first, `message` included."""
        return self._children[self._parents[message]]

    def leaf_through(self, message: UUID | None) -> UUID | None:
        """The end of the branch that goes through `message` and takes the newest turn at every fork below it.

        From None it starts at the root; None where there are no messages.
        """
        while children := self._children.get(message):
            message = children[-1]
        return message


def chat_messages(branch: Sequence[ChatLine], system_prompt: str) -> list[ChatMessage]:
    """What a chat template renders. Empty answers (failed, stopped at once) are left out.

    Neighbours of one role, which that can leave behind, become one message: many templates insist on turns that alternate.
    """
    messages: list[ChatMessage] = [{"role": "system", "content": system_prompt}] if system_prompt else []
    for line in branch:
        if not line.content:
            continue
        if messages and messages[-1]["role"] == line.role:
            messages[-1]["content"] += "\n\n" + line.content
        else:
            messages.append({"role": line.role, "content": line.content})
    return messages


def completion_prompt(branch: Sequence[ChatLine], system_prompt: str) -> str:
    """What a variant without a chat template continues: one running text, each answer directly after what it continued."""
    text = system_prompt
    for line in branch:
        if line.role != "assistant" and text:
            text += "\n\n"
        text += line.content
    return text


def title_from(text: str) -> str:
    """The beginning of `text`, which is not blank, cut at a word."""
    words = text.split()
    title = ""
    for word in words:
        longer = f"{title} {word}" if title else word
        if len(longer) > TITLE_CHARACTERS:
            break
        title = longer
    if title == " ".join(words):
        return title
    return (title or words[0][: TITLE_CHARACTERS - 1]) + "…"
