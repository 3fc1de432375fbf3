"""Renders a GGUF's chat template as Hugging Face's tokenizers do: same environment, same globals, same white space.

A template is a stranger's program. Jinja's sandbox keeps it away from Python's attributes; the time and the memory it may
take are bounded by the process it runs in (see `renderer`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST_PROMPT_CHARACTERS = 16 * 1024 * 1024
"""As much as a request may carry; a template that makes more of it is looping."""


class TemplateFailed(Exception):
    """The template does not compile or does not render. `in_its_words`: it called raise_exception with this message."""

    def __init__(self, detail: str, *, in_its_words: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.in_its_words = in_its_words


class _Raised(Exception):
    """The template called raise_exception."""


class ChatTemplate:
    """Renders messages with a compiled template."""

    def __init__(self, source: str) -> None:
        """Raises TemplateFailed."""
        try:
            self._template = _environment().from_string(source)
        except (TemplateError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise TemplateFailed(_sentence(error)) from None

    def render(self, messages: Sequence[Mapping[str, Any]], tokens: Mapping[str, str]) -> str:
        """The prompt, up to where the assistant's answer begins. `tokens` holds bos_token and its kin. Raises TemplateFailed."""
        try:
            return self._render(messages, tokens, tools=None, documents=None)
        except TemplateFailed as failed:
            if failed.in_its_words:
                raise
            # Templates made for tools loop over them without asking whether there are any.
            with suppress(TemplateFailed):
                return self._render(messages, tokens, tools=[], documents=[], functions=[])
            raise

    def _render(self, messages: Sequence[Mapping[str, Any]], tokens: Mapping[str, str], **extra: Any) -> str:
        pieces = []
        n_characters = 0
        try:
            for piece in self._template.generate(
                messages=[dict(message) for message in messages], add_generation_prompt=True, **tokens, **extra
            ):
                n_characters += len(piece)
                if n_characters > LONGEST_PROMPT_CHARACTERS:
                    raise TemplateFailed(f"the prompt grew beyond {LONGEST_PROMPT_CHARACTERS} characters")
                pieces.append(piece)
        except TemplateFailed:
            raise
        except _Raised as error:
            raise TemplateFailed(str(error)[:2000], in_its_words=True) from None
        except Exception as error:
            # A template can make any of Python's operations fail: all of them are its fault, and it is not ours to crash.
            raise TemplateFailed(_sentence(error)) from None
        return "".join(pieces)


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`, which marks the assistant's tokens for training: here it renders its body."""

    tags = {"generation"}  # noqa: RUF012  Jinja's own declaration

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes <, > and & for HTML, which a prompt is not."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: object = "the template refuses these messages") -> NoReturn:
    raise _Raised(str(message))


def _strftime_now(layout: str) -> str:
    return datetime.now().strftime(layout)


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
