"""One request on its way through the engine: its prompt, its sampler, and the text that leaves."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from inference.core.decoding.generation_options import GenerationOptions
from inference.core.decoding.text import Reasoning, Span, StopStrings, Utf8Decoder
from inference.engine.llama import Context
from inference.engine.protocol import (
    Done,
    FinishReason,
    Prefill,
    RefusalCode,
    RefusalFacts,
    Refused,
    Timings,
    Token,
    WorkerReply,
)
from inference.engine.serving.message_sink import MessageSink

if TYPE_CHECKING:
    from typing_extensions import Unpack


class TokenSource(Protocol):
    """Draws a generation's tokens (`sampling.Sampler`)."""

    @property
    def ended(self) -> bool: ...

    def sample(self, context: Context, output: int) -> int: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Pieces:
    """Gives the bytes of a token: as text, and with the control tokens that mark reasoning spelled out."""

    plain: Callable[[int], bytes]
    marked: Callable[[int], bytes]


class Generation:
    """Takes one request from its prompt to its last message.

    Owned by the decode thread from submission on; `cancelled` alone may be set from elsewhere.
    """

    def __init__(
        self,
        *,
        owner: str,
        prompt: array[int],
        options: GenerationOptions,
        sampler: TokenSource,
        reasoning: Reasoning | None,
        pieces: Pieces,
        sink: MessageSink,
    ) -> None:
        self.owner = owner
        self.prompt = prompt
        self.sampler = sampler
        self.sink = sink
        self.max_tokens = options.max_tokens
        self.cancelled = False
        self.n_done = 0
        """Prompt tokens in the KV cache."""
        self.n_cached = 0
        self.n_generated = 0
        self.submitted_at = time.monotonic()
        self._decoder = Utf8Decoder()
        self._reasoning = reasoning
        self._stops = StopStrings(options.stop)
        self._pieces = pieces
        self._ready: list[WorkerReply] = []
        self._last_n = 0
        self._entered_slot_at = 0.0
        self._first_token_at = 0.0

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.cancelled or self.sink.broken

    @property
    def n_prompt_left(self) -> int:
        return len(self.prompt) - self.n_done

    def enter_slot(self, n_cached: int) -> None:
        """Notes that the request has a slot, whose cache holds its first `n_cached` tokens."""
        self.n_done = self.n_cached = n_cached
        self._entered_slot_at = time.monotonic()

    def advance(self, n_tokens: int) -> None:
        """Counts `n_tokens` more of the prompt as evaluated."""
        self.n_done += n_tokens
        self._ready.append(Prefill(type="prefill", done=self.n_done, total=len(self.prompt), cached=self.n_cached))

    def take(self, token: int) -> str | None:
        """Counts a generated token and turns it into text. Returns the stop string that it completed."""
        if self.n_generated == 0:
            self._first_token_at = time.monotonic()
        self.n_generated += 1
        marked = self._reasoning is not None and self._reasoning.looks_for_markers
        text = self._decoder.feed((self._pieces.marked if marked else self._pieces.plain)(token))
        if not text:
            return None
        return self._pass_on([Span(text, False)] if self._reasoning is None else self._reasoning.feed(text))

    def flush(self) -> None:
        """Sends what this step has made ready."""
        if self._ready:
            self.sink.send(*self._ready)
            self._ready.clear()

    def finish(self, reason: FinishReason, stop_string: str | None = None) -> None:
        """Sends the rest of the text and the last message."""
        if stop_string is None:
            if self._reasoning is not None:
                stop_string = self._pass_on(self._reasoning.flush())
            if stop_string is None:
                self._say(self._stops.flush(), reasoning=False)
        if stop_string is not None:
            reason = "stop"
        done = Done(type="done", reason=reason, stop_string=stop_string, timings=self._timings())
        self.sink.send(*self._ready, done, last=True)
        self._ready.clear()

    def refuse(self, code: RefusalCode, detail: str, **facts: Unpack[RefusalFacts]) -> None:
        """Sends what is ready, and the refusal as the last message."""
        self.sink.send(*self._ready, Refused(type="refused", code=code, detail=detail, facts=facts), last=True)
        self._ready.clear()

    def _pass_on(self, spans: list[Span]) -> str | None:
        """Makes messages of `spans`, and returns a completed stop string. A blank line in the reasoning must not end an answer."""
        for span in spans:
            if span.reasoning:
                self._say(span.text, reasoning=True)
                continue
            text, stop_string = self._stops.feed(span.text)
            self._say(text, reasoning=False)
            if stop_string is not None:
                return stop_string
        return None

    def _say(self, text: str, *, reasoning: bool) -> None:
        if not text:
            return
        latest = self._ready[-1] if self._ready else None
        if latest is not None and latest["type"] == "token" and latest["reasoning"] == reasoning:
            latest["text"] += text
        else:
            # Reasoning and answer may come out of one token; `n` has to grow all the same.
            self._last_n = max(self.n_generated, self._last_n + 1)
            self._ready.append(Token(type="token", n=self._last_n, text=text, reasoning=reasoning))

    def _timings(self) -> Timings:
        now = time.monotonic()
        first = self._first_token_at or now
        return Timings(
            prompt_n=len(self.prompt) - self.n_cached,
            cache_n=self.n_cached,
            prompt_ms=round((first - self._entered_slot_at) * 1000, 3),
            predicted_n=self.n_generated,
            predicted_ms=round((now - first) * 1000, 3) if self.n_generated else 0.0,
        )
