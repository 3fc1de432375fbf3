"""From a caller's message to a Generation: checks, renders, tokenises, and words every refusal."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeGuard

from inference.core.decoding.automaton import BadGrammar
from inference.core.decoding.gbnf import parse
from inference.core.decoding.generation_options import BadParameter, GenerationOptions
from inference.core.decoding.grammar import Follower, GrammarTooComplex, Vocabulary
from inference.core.decoding.text import MARKERS, Reasoning, open_tag
from inference.engine.chat.generation import Generation, Pieces
from inference.engine.chat.sampling import Sampler
from inference.engine.chat.scoring import Scoring
from inference.engine.chat.template_client import Renderer, RenderFailed
from inference.engine.llama import Model
from inference.engine.protocol import RefusalCode
from inference.engine.serving.fields import RequestRefused, appended, name_of
from inference.engine.serving.message_sink import MessageSink

_LONG_TEXT = 8_000
"""Characters from which tokenising takes longer than handing it to another thread."""
_REQUEST_FIELDS = {"type", "request_id", "owner", "messages", "prompt", "options"}


@dataclass(frozen=True, slots=True)
class Mode:
    """Says how messages become a prompt: by the chat template, or plainly joined. `reason`: why not by the template."""

    name: Literal["chat", "completion"]
    reason: str | None


class RequestParser:
    """Turns messages into work for one loaded model: checked, rendered, tokenized. Every fault is a RequestRefused."""

    def __init__(self, model: Model, n_ctx_seq: int, mode: Mode, renderer: Renderer) -> None:
        self._model = model
        self._n_ctx_seq = n_ctx_seq
        self._mode = mode
        self._renderer = renderer
        self._special_texts = {
            "bos_token": self._special_text(model.bos),
            "eos_token": self._special_text(model.eos),
            "unk_token": "",
            "pad_token": "",
        }
        self._pieces = _pieces(model)
        self._vocabulary: Vocabulary | None = None

    async def generation(self, message: Mapping[str, Any], sink: MessageSink) -> Generation:
        """A `generate` message as work for the batcher. Renders and tokenizes. Raises RequestRefused."""
        name_of(message, "request_id")
        owner = name_of(message, "owner")
        unknown = sorted(set(message) - _REQUEST_FIELDS)
        if unknown:
            raise RequestRefused("bad_request", f"unknown fields: {', '.join(unknown)[:200]}")
        options = self._options(message.get("options", {}))
        prompt, reasoning = await self._prompt(message, options)
        if len(prompt) >= self._n_ctx_seq:
            raise RequestRefused(
                "context_exceeded",
                f"the prompt has {len(prompt)} tokens, and the context holds {self._n_ctx_seq}",
                n_prompt=len(prompt),
                n_ctx_seq=self._n_ctx_seq,
            )
        follower = await self._follower(options)
        return Generation(
            owner=owner,
            prompt=prompt,
            options=options,
            sampler=Sampler(self._model, options, prompt, follower),
            reasoning=reasoning,
            pieces=self._pieces,
            sink=sink,
        )

    async def tokens(self, message: Mapping[str, Any]) -> list[int]:
        """Token ids of `text` alone, special tokens parsed and none added. Raises RequestRefused."""
        text = message.get("text")
        if not isinstance(text, str):
            raise RequestRefused("bad_request", "text: expected a string")
        return list(await self._tokenize(text, add_special=False))

    @contextmanager
    def scoring(self, message: Mapping[str, Any], sink: MessageSink) -> Iterator[Scoring]:
        """A `score` message as work for the batcher. Withdraw it inside the block, which closes its file. Raises RequestRefused."""
        name_of(message, "request_id")
        owner = name_of(message, "owner")
        unknown = sorted(set(message) - {"type", "request_id", "owner", "tokens", "first", "path"})
        if unknown:
            raise RequestRefused("bad_request", f"unknown fields: {', '.join(unknown)[:200]}")
        tokens, first, path = message.get("tokens"), message.get("first"), message.get("path")
        if not isinstance(tokens, list) or not all(_is_whole(each, self._model.n_vocab) for each in tokens):
            raise RequestRefused("bad_request", "tokens: expected a list of token ids of this vocabulary")
        if not 2 <= len(tokens) <= self._n_ctx_seq:
            raise RequestRefused(
                "context_exceeded",
                f"the text has {len(tokens)} tokens; 2 to {self._n_ctx_seq} can be scored at once",
                n_prompt=len(tokens),
                n_ctx_seq=self._n_ctx_seq,
            )
        if not _is_whole(first, len(tokens) - 1):
            raise RequestRefused("bad_request", "first: expected the number of a token that has a successor")
        with appended(path) as descriptor:
            yield Scoring(
                owner=owner,
                tokens=array("i", tokens),
                first=first,
                descriptor=descriptor,
                sink=sink,
            )

    # options

    def _options(self, values: object) -> GenerationOptions:
        if not isinstance(values, dict):
            raise RequestRefused("bad_request", "options: expected an object")
        try:
            options = GenerationOptions.from_json(values)
        except BadParameter as bad:
            raise RequestRefused("bad_parameter", str(bad), name=bad.name) from None
        for token in options.logit_bias:
            if token >= self._model.n_vocab:
                detail = f"logit_bias: token {token} does not exist; the last one is {self._model.n_vocab - 1}"
                raise RequestRefused("bad_parameter", detail, name="logit_bias")
        return options

    async def _follower(self, options: GenerationOptions) -> Follower | None:
        gbnf = options.grammar
        if options.json_schema is not None:
            try:
                gbnf = await self._renderer.convert_schema(options.json_schema)
            except RenderFailed as failed:
                raise RequestRefused("bad_grammar", f"the JSON schema cannot be used: {failed.detail}") from None
        if gbnf is None:
            return None
        try:
            return await asyncio.get_running_loop().run_in_executor(None, self._follow, gbnf)
        except BadGrammar as bad:
            raise RequestRefused("bad_grammar", f"the grammar cannot be used: {bad}") from None
        except GrammarTooComplex:
            raise RequestRefused("bad_grammar", "following this grammar takes too much work") from None

    def _follow(self, gbnf: str) -> Follower:
        if self._vocabulary is None:
            pieces = [self._pieces.plain(token) for token in range(self._model.n_vocab)]
            ends = [token for token in range(self._model.n_vocab) if self._model.ends_generation(token)]
            self._vocabulary = Vocabulary(pieces, ends)
        return Follower(parse(gbnf, self._single_token), self._vocabulary)

    def _single_token(self, text: str) -> int | None:
        tokens = self._model.tokenize(text, add_special=False, parse_special=True)
        return tokens[0] if len(tokens) == 1 else None

    # prompts

    async def _prompt(
        self, message: Mapping[str, Any], options: GenerationOptions
    ) -> tuple[array[int], Reasoning | None]:
        """The prompt's tokens, and what splits reasoning from its answer where that is wanted.

        In completion mode messages are joined plainly: their contents with blank lines between, no roles, so that a base
        model goes on where they end. A raw prompt, or a grammar, gets the model's text as it is.
        """
        messages, prompt = message.get("messages"), message.get("prompt")
        if (messages is None) == (prompt is None):
            raise RequestRefused("bad_request", "expected exactly one of messages and prompt")
        if prompt is not None:
            if not isinstance(prompt, str) or not prompt:
                raise RequestRefused("bad_request", "prompt: expected a text that is not empty")
            return await self._tokenize(prompt, add_special=True), None
        checked = _messages(messages)
        if self._mode.name == "completion":
            text = "\n\n".join(each["content"] for each in checked)
            if not text.strip():
                raise RequestRefused("bad_request", "messages: there is no text in them")
            return await self._tokenize(text, add_special=True), None
        text = await self._render(checked)
        if not text:
            raise RequestRefused("template_error", "the chat template made an empty prompt of these messages")
        bos = self._special_texts["bos_token"]
        tokens = await self._tokenize(text, add_special=not (bos and text.startswith(bos)))
        constrained = options.grammar is not None or options.json_schema is not None
        return tokens, None if constrained else Reasoning(open_tag(text))

    async def _render(self, messages: list[dict[str, str]]) -> str:
        try:
            return await self._renderer.render(messages, self._special_texts)
        except RenderFailed as failed:
            code: RefusalCode = "template_timeout" if failed.timed_out else "template_error"
            raise RequestRefused(code, f"the chat template refused these messages: {failed.detail}") from None

    async def _tokenize(self, text: str, *, add_special: bool) -> array[int]:
        def tokenize() -> array[int]:
            return self._model.tokenize(text, add_special=add_special, parse_special=True)

        try:
            if len(text) < _LONG_TEXT:
                return tokenize()
            return await asyncio.get_running_loop().run_in_executor(None, tokenize)
        except UnicodeEncodeError as error:
            detail = f"the text holds half a character (a lone surrogate) at position {error.start}"
            raise RequestRefused("bad_request", detail) from None
        except OverflowError as error:
            raise RequestRefused("bad_request", str(error)) from None

    def _special_text(self, token: int) -> str:
        return self._model.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""


def _pieces(model: Model) -> Pieces:
    marked = {}
    for marker in MARKERS:
        tokens = model.tokenize(marker, add_special=False, parse_special=True)
        if len(tokens) == 1 and model.is_control(tokens[0]):
            marked[tokens[0]] = marker.encode()

    @cache
    def plain(token: int) -> bytes:
        return model.piece(token, special=False)

    def with_markers(token: int) -> bytes:
        return marked.get(token) or plain(token)

    return Pieces(plain, with_markers)


def _is_whole(value: object, below: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below


def _messages(values: object) -> list[dict[str, str]]:
    if not isinstance(values, list) or not values:
        raise RequestRefused("bad_request", "messages: expected a list that is not empty")
    checked = []
    for number, value in enumerate(values):
        if not isinstance(value, dict):
            raise RequestRefused("bad_request", f"messages[{number}]: expected an object")
        for field in ("role", "content"):
            if not isinstance(value.get(field), str):
                raise RequestRefused("bad_request", f"messages[{number}].{field}: expected a string")
        unknown = sorted(str(field) for field in set(value) - {"role", "content", "name"})
        if unknown or not isinstance(value.get("name", ""), str):
            what = f"unknown fields {', '.join(unknown)[:200]}" if unknown else "name: expected a string"
            raise RequestRefused("bad_request", f"messages[{number}]: {what}")
        checked.append(dict(value))
    return checked
