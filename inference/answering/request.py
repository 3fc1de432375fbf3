"""What a door asks for: one answer of one variant to one person's prompt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from inference.answering.owner import Requester
from inference.answering.patience import NO_PATIENCE, Patience
from inference.core.decoding.generation_options import GenerationOptions
from inference.core.loads.vocabulary import LeaseKind
from inference.engine.protocol import ChatMessage

Door = Literal["chat", "v1"]
"""What a request came in by: the chat page, or OpenAI's API."""
Mode = Literal["chat", "completion"]
"""What a loaded variant can do: render messages with its template, or only go on with a text."""


@dataclass(frozen=True, slots=True)
class Messages:
    """A conversation, which the variant's own chat template renders."""

    messages: list[ChatMessage]
    options: GenerationOptions


@dataclass(frozen=True, slots=True)
class Text:
    """A text to go on with."""

    text: str
    options: GenerationOptions


Prompt = Messages | Text
PromptWriter = Callable[[Mode], Awaitable[Prompt]]
"""Makes the prompt once the variant is ready and its mode known: whoever asks may still be busy storing the question until then."""


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """One request. `request_id` names it in the logs of every process."""

    request_id: str
    door: Door
    requester: Requester
    variant_id: int
    prompt: Prompt | PromptWriter
    patience: Patience = NO_PATIENCE
    kind: LeaseKind = "interactive"
