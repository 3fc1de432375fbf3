"""Conversations in the database: where the chat crosses from asyncio to it, and the only place where it does.

Writes go through one thread: SQLite takes one writer at a time anyway, and a write that waits for another process then
holds up no read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.utils.translation import gettext, gettext_lazy

from inference.models import Conversation, Message
from inference.web.chat.frames import Regenerate, Send
from inference.web.chat.protocol import ConversationRow, ConversationView, MessageView
from inference.web.chat.rows import conversation_row, conversation_view, message_view
from inference.web.chat.tree import ChatLine, Node, Tree, title_from
from inference.web.crossing.database_thread import DatabaseThread, reading
from inference.web.visibility.offered import access_now, unusable_reason_now
from models_app.models import Variant

MOST_ROWS = 200
"""Conversations that the sidebar lists."""
NOT_YOURS = gettext_lazy(
    "This model is kept for a group that you are not in; pick another one, or ask whoever runs this box."
)


class NotFound(Exception):
    """No such conversation or message, or somebody else's: callers can't tell which."""


class NoVariant(Exception):
    """The variant does not exist, is disabled, or cannot run. The text is a sentence for a person."""


class Busy(Exception):
    """An answer is still running where the new message would go."""


class WrongPlace(Exception):
    """The message can't go there. The text is a sentence for a person."""


_writing = DatabaseThread("chat-write")


async def close_connections() -> None:
    await asyncio.gather(_writing.close(), reading.close())


# turns --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartedTurn:
    """A stored turn: what the model is to answer, or, `repeated`, a turn that the same nonce started before."""

    conversation: UUID
    answer: UUID
    repeated: bool
    branch: tuple[ChatLine, ...] = ()
    """Root first, the question last."""
    view: ConversationView | None = None
    """The conversation with the new turn; None where `repeated`."""


@_writing
def start_turn(owner_id: int, request: Send | Regenerate, answer_id: UUID) -> StartedTurn:
    """Stores the answer `answer_id`, running and empty, with the question it belongs to, in one transaction.

    Raises NotFound, NoVariant, Busy, WrongPlace, StorageFailed; then nothing is stored.
    """
    key = f"{owner_id}:{request.nonce}"
    try:
        with transaction.atomic():
            if isinstance(request, Regenerate):
                return _regenerate(owner_id, request, answer_id, key)
            return _send(owner_id, request, answer_id, key)
    except IntegrityError:
        earlier = Message.objects.filter(idempotency_key=key).only("conversation_id").first()
        if earlier is None:
            raise
        return StartedTurn(conversation=earlier.conversation_id, answer=earlier.pk, repeated=True)


def _variant_name(variant_id: int, user_id: int) -> str:
    variant = Variant.objects.filter(pk=variant_id, enabled=True).first()
    if variant is None:
        raise NoVariant(gettext("This model is not offered any more; pick another one."))
    restricted_to = set(variant.groups.values_list("pk", flat=True))
    if restricted_to and not access_now(user_id).allows(restricted_to):
        raise NoVariant(NOT_YOURS)
    reason = unusable_reason_now(variant)
    if reason is not None:
        raise NoVariant(
            gettext("{name} cannot run. {reason} Or pick another model.").format(name=variant.name, reason=reason)
        )
    return variant.name


def _own(owner_id: int, **lookup: Any) -> Conversation:
    conversation = Conversation.objects.select_for_update().filter(owner_id=owner_id, **lookup).first()
    if conversation is None:
        raise NotFound
    return conversation


def _messages(conversation: Conversation) -> dict[UUID, Message]:
    return {message.pk: message for message in Message.objects.filter(conversation=conversation)}


def _tree(messages: Iterable[Message]) -> Tree:
    return Tree([Node(each.pk, each.parent_id) for each in messages])


def _send(owner_id: int, send: Send, answer_id: UUID, key: str) -> StartedTurn:
    variant_name = _variant_name(send.variant, owner_id)
    messages: dict[UUID, Message] = {}
    if send.conversation is None:
        conversation = Conversation(owner_id=owner_id, title=title_from(send.text))
    else:
        conversation = _own(owner_id, pk=send.conversation)
        messages = _messages(conversation)
        if send.parent is not None:
            parent = messages.get(send.parent)
            if parent is None:
                raise NotFound
            if parent.role != Message.Role.ASSISTANT:
                raise WrongPlace(gettext("A question goes under an answer, or at the start."))
            if parent.state == Message.State.RUNNING:
                raise Busy
    if send.system_prompt is not None:
        conversation.system_prompt = send.system_prompt
    if send.options is not None:
        conversation.options = send.options
    conversation.variant_id = send.variant
    conversation.leaf_id = answer_id
    # The question and the answer point at the conversation and it at the answer: checked at commit, so any order does.
    conversation.save(force_insert=send.conversation is None)
    question = Message(id=uuid4(), conversation=conversation, parent_id=send.parent, role="user", content=send.text)
    answer = _answer(answer_id, conversation, question.pk, variant_name, key)
    Message.objects.bulk_create([question, answer])
    return _started(conversation, {**messages, question.pk: question, answer.pk: answer}, answer)


def _regenerate(owner_id: int, request: Regenerate, answer_id: UUID, key: str) -> StartedTurn:
    variant_name = _variant_name(request.variant, owner_id)
    conversation = _own(owner_id, messages=request.message)
    messages = _messages(conversation)
    earlier = messages[request.message]
    if earlier.role != Message.Role.ASSISTANT or earlier.parent_id is None:
        raise WrongPlace(gettext("Only an answer can be made again."))
    if earlier.state == Message.State.RUNNING:
        raise Busy
    if request.options is not None:
        conversation.options = request.options
    conversation.variant_id = request.variant
    conversation.leaf_id = answer_id
    conversation.save()
    answer = _answer(answer_id, conversation, earlier.parent_id, variant_name, key)
    answer.save(force_insert=True)
    return _started(conversation, {**messages, answer.pk: answer}, answer)


def _started(conversation: Conversation, messages: dict[UUID, Message], answer: Message) -> StartedTurn:
    """`messages`: all of the conversation, oldest first."""
    tree = _tree(messages.values())
    branch = tree.branch(answer.pk)
    return StartedTurn(
        conversation=conversation.pk,
        answer=answer.pk,
        repeated=False,
        branch=tuple(ChatLine(messages[each].role, messages[each].content) for each in branch[:-1]),
        view=conversation_view(conversation, [message_view(messages[each], tree.siblings(each)) for each in branch]),
    )


def _answer(pk: UUID, conversation: Conversation, parent: UUID, variant_name: str, key: str) -> Message:
    return Message(
        id=pk,
        conversation=conversation,
        parent_id=parent,
        role=Message.Role.ASSISTANT,
        state=Message.State.RUNNING,
        variant_name=variant_name,
        idempotency_key=key,
    )


@dataclass(frozen=True, slots=True)
class Ending:
    """How a turn ended."""

    state: Message.State
    finish_reason: str = ""
    error_code: str = ""
    error_detail: str = ""
    timings: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a turn has said so far; with an `ending`, all it will ever say."""

    message: UUID
    content: str
    reasoning: str
    n_tokens: int
    ending: Ending | None


@_writing
def persist(progress: Iterable[Progress]) -> set[UUID]:
    """Stores all in one transaction. Returns the messages that were no longer there, or no longer running."""
    lost: set[UUID] = set()
    with transaction.atomic():
        for each in progress:
            values: dict[str, Any] = {
                "content": each.content,
                "reasoning": each.reasoning,
                "n_tokens": each.n_tokens,
            }
            if each.ending is not None:
                values |= {
                    "state": each.ending.state,
                    "finish_reason": each.ending.finish_reason,
                    "error_code": each.ending.error_code,
                    "error_detail": each.ending.error_detail,
                    "timings": each.ending.timings,
                }
            running = Message.objects.filter(pk=each.message, state=Message.State.RUNNING)
            if running.update(**values) != 1:
                lost.add(each.message)
    return lost


def interrupt_running(error_code: str, error_detail: str) -> int:
    """Marks every running message interrupted and keeps its text. Blocks; for use where no turn of any process runs."""
    return Message.objects.filter(state=Message.State.RUNNING).update(
        state=Message.State.INTERRUPTED, error_code=error_code, error_detail=error_detail
    )


# what a person sees and does ----------------------------------------------------------------------------------


@reading
def conversation(owner_id: int, pk: UUID) -> ConversationView:
    """The shown branch as it is stored. Raises NotFound, StorageFailed."""
    found = Conversation.objects.filter(pk=pk, owner_id=owner_id).first()
    if found is None:
        raise NotFound
    tree = Tree([Node(*ids) for ids in found.messages.values_list("pk", "parent_id")])
    leaf = found.leaf_id if found.leaf_id is not None and found.leaf_id in tree else tree.leaf_through(None)
    branch = tree.branch(leaf)
    messages = Message.objects.in_bulk(branch)
    return conversation_view(
        found, [message_view(messages[each], tree.siblings(each)) for each in branch if each in messages]
    )


@reading
def message(pk: UUID) -> MessageView | None:
    """One message as it is stored; None where it is gone. Asks for no owner: for turns that are known already."""
    found = Message.objects.filter(pk=pk).first()
    if found is None:
        return None
    siblings = Message.objects.filter(conversation_id=found.conversation_id, parent_id=found.parent_id)
    return message_view(found, list(siblings.values_list("pk", flat=True)))


@reading
def conversation_rows(owner_id: int) -> list[ConversationRow]:
    """The sidebar, newest first."""
    found = Conversation.objects.filter(owner_id=owner_id).only("id", "title", "updated_at")[:MOST_ROWS]
    return [conversation_row(each) for each in found]


@reading
def owns_message(owner_id: int, pk: UUID) -> bool:
    return Message.objects.filter(pk=pk, conversation__owner_id=owner_id).exists()


@_writing
def show_branch(owner_id: int, pk: UUID) -> UUID:
    """Makes the branch through this message the shown one; returns its conversation. Raises NotFound."""
    with transaction.atomic():
        conversation = _own(owner_id, messages=pk)
        tree = Tree([Node(*ids) for ids in conversation.messages.values_list("pk", "parent_id")])
        # An update, not save(): looking at a branch does not make a conversation newer.
        Conversation.objects.filter(pk=conversation.pk).update(leaf_id=tree.leaf_through(pk))
    return conversation.pk


@_writing
def rename(owner_id: int, pk: UUID, title: str) -> None:
    """Raises NotFound."""
    if Conversation.objects.filter(pk=pk, owner_id=owner_id).update(title=title) != 1:
        raise NotFound


@_writing
def delete(owner_id: int, pk: UUID) -> None:
    """Raises NotFound."""
    with transaction.atomic():
        deleted, _each = Conversation.objects.filter(pk=pk, owner_id=owner_id).delete()
    if not deleted:
        raise NotFound
