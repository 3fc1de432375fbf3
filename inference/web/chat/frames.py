"""From a text frame of the chat socket to a checked message: shapes, lengths, ids and generation options. No I/O.

What a message may *do* (whose conversation it is) is for inference.web.chat.store to say.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from inference.core.decoding.generation_options import BadParameter, GenerationOptions
from inference.web.chat.protocol import LONGEST_FRAME_BYTES, LONGEST_NONCE, LONGEST_TITLE
from models_app.storable import unstorable

LARGEST_ID = 2**63 - 1


class BadFrame(ValueError):
    """The frame is refused. `code` is a chat_protocol.SocketError code, the message a sentence for a person."""

    def __init__(self, code: str, detail: str, nonce: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.nonce = nonce


@dataclass(frozen=True, slots=True)
class Open:
    conversation: UUID


@dataclass(frozen=True, slots=True)
class Send:
    nonce: str
    conversation: UUID | None
    parent: UUID | None
    text: str
    variant: int
    options: dict[str, Any] | None
    """Checked, only what was set. None: as the conversation has them."""
    system_prompt: str | None


@dataclass(frozen=True, slots=True)
class Regenerate:
    nonce: str
    message: UUID
    variant: int
    options: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Stop:
    message: UUID


@dataclass(frozen=True, slots=True)
class ShowBranch:
    message: UUID


@dataclass(frozen=True, slots=True)
class Rename:
    conversation: UUID
    title: str


@dataclass(frozen=True, slots=True)
class Delete:
    conversation: UUID


Frame = Open | Send | Regenerate | Stop | ShowBranch | Rename | Delete


def parse(text: str) -> Frame:
    """The message in a text frame. Raises BadFrame."""
    # Counting bytes costs an encode; no text is shorter in bytes than in characters.
    if len(text) > LONGEST_FRAME_BYTES or (
        not text.isascii() and len(text.encode("utf-8", "surrogatepass")) > LONGEST_FRAME_BYTES
    ):
        raise BadFrame("too_large", f"Messages may have at most {LONGEST_FRAME_BYTES} bytes.")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise BadFrame("bad_message", "That was not JSON.") from None
    if not isinstance(message, dict):
        raise BadFrame("bad_message", "Expected a JSON object.")
    nonce = message.get("nonce")
    nonce = nonce if isinstance(nonce, str) and len(nonce) <= LONGEST_NONCE and unstorable(nonce) is None else None
    if found := unstorable(message):
        raise BadFrame("bad_message", f"The text holds {found}; take it out and send again.", nonce)
    try:
        return _frame(_Fields(message))
    except BadFrame as error:
        error.nonce = nonce
        raise


class _Fields:
    """Takes typed fields out of a decoded message, and words what is wrong with one."""

    def __init__(self, message: dict[str, Any]) -> None:
        self._message = message

    def _wrong(self, name: str, expected: str) -> BadFrame:
        return BadFrame("bad_message", f'"{name}": expected {expected}.')

    def text(self, name: str, longest: int = LONGEST_FRAME_BYTES) -> str:
        value = self._message.get(name)
        if not isinstance(value, str) or len(value) > longest:
            raise self._wrong(name, f"a text of at most {longest} characters")
        return value

    def said(self, name: str, longest: int = LONGEST_FRAME_BYTES) -> str:
        """A text that says something."""
        value = self.text(name, longest)
        if not value.strip():
            raise self._wrong(name, "a text that is not empty")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self._message.get(name) is None else self.text(name)

    def uuid(self, name: str) -> UUID:
        value = self._message.get(name)
        try:
            if not isinstance(value, str):
                raise ValueError
            return UUID(value)
        except ValueError:
            raise self._wrong(name, "an id") from None

    def optional_uuid(self, name: str) -> UUID | None:
        return None if self._message.get(name) is None else self.uuid(name)

    def number(self, name: str) -> int:
        value = self._message.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_ID:
            raise self._wrong(name, "a whole number")
        return value

    def options(self) -> dict[str, Any] | None:
        value = self._message.get("options")
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong("options", "an object")
        chosen = {name: option for name, option in value.items() if option is not None}
        try:
            GenerationOptions.from_json(chosen)
        except BadParameter as error:
            raise BadFrame("bad_parameter", str(error)) from None
        return chosen


def _frame(fields: _Fields) -> Frame:
    kind = fields.text("type", 40)
    if kind == "open":
        return Open(fields.uuid("conversation"))
    if kind == "send":
        conversation, parent = fields.optional_uuid("conversation"), fields.optional_uuid("parent")
        if conversation is None and parent is not None:
            raise BadFrame("bad_message", "A new conversation starts without a parent.")
        return Send(
            nonce=fields.said("nonce", LONGEST_NONCE),
            conversation=conversation,
            parent=parent,
            text=fields.said("text"),
            variant=fields.number("variant"),
            options=fields.options(),
            system_prompt=fields.optional_text("system_prompt"),
        )
    if kind == "regenerate":
        return Regenerate(
            nonce=fields.said("nonce", LONGEST_NONCE),
            message=fields.uuid("message"),
            variant=fields.number("variant"),
            options=fields.options(),
        )
    if kind == "stop":
        return Stop(fields.uuid("message"))
    if kind == "branch":
        return ShowBranch(fields.uuid("message"))
    if kind == "rename":
        return Rename(fields.uuid("conversation"), fields.said("title", LONGEST_TITLE).strip())
    if kind == "delete":
        return Delete(fields.uuid("conversation"))
    raise BadFrame("bad_message", f'"{kind}" is not a message type of this socket.')
