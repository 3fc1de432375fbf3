"""From token bytes to what a reader sees: whole characters, reasoning apart from the answer, nothing past a stop string.

Each class takes pieces of any size and gives out text as soon as it is final; how the input was cut never changes what
comes out in total.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass


class Utf8Decoder:
    """Turns bytes into text, piece by piece. What can never become a character turns into U+FFFD.

    A character's first bytes wait for the rest; at the end of an answer they are dropped, for they say nothing.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, piece: bytes) -> str:
        """The text that became whole with `piece`."""
        return self._decoder.decode(piece)


class StopStrings:
    """Finds the first stop string to be completed, and holds back text that may still become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""

    def feed(self, text: str) -> tuple[str, str | None]:
        """Text that is final, and the stop string that was completed. Text after that is dropped: feed nothing more."""
        if not self._stops:
            return text, None
        text = self._held + text
        found: tuple[int, int, str] | None = None
        for stop in self._stops:
            start = text.find(stop)
            if start >= 0 and (found is None or (start + len(stop), start) < found[:2]):
                found = (start + len(stop), start, stop)
        if found is not None:
            self._held = ""
            return text[: found[1]], found[2]
        held = max(unfinished(text, stop) for stop in self._stops)
        cut = len(text) - held
        self._held = text[cut:]
        return text[:cut], None

    def flush(self) -> str:
        """The text held back, at the end of the answer."""
        text, self._held = self._held, ""
        return text


def unfinished(text: str, marker: str) -> int:
    """Length of the longest end of `text` that `marker` begins with, the whole marker excepted."""
    for length in range(min(len(marker) - 1, len(text)), 0, -1):
        if text.endswith(marker[:length]):
            return length
    return 0


# reasoning ----------------------------------------------------------------------------------------------------

PAIRS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<seed:think>": "</seed:think>",
    "<mm:think>": "</mm:think>",
    "<think:opensource>": "</think:opensource>",
    "<|think|>": "<|/think|>",
    "[THINK]": "[/THINK]",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|channel>thought": "<channel|>",
}
"""Opening tag to closing tag, as published templates use them."""

CHANNEL, MESSAGE, START, END = "<|channel|>", "<|message|>", "<|start|>", "<|end|>"
"""gpt-oss' channels: `<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…`."""

MARKERS = tuple(dict.fromkeys((*PAIRS, *PAIRS.values(), CHANNEL, MESSAGE, START, END)))
"""Every text that Reasoning acts on. Those that are control tokens must be spelled out to reach it."""

_ANSWER_CHANNEL = "final"


@dataclass(frozen=True, slots=True)
class Span:
    """Text of one kind: reasoning, or the answer proper."""

    text: str
    reasoning: bool


def open_tag(prompt: str) -> str | None:
    """The opening tag that `prompt` ends with: its answer begins inside the reasoning."""
    prompt = prompt.rstrip()
    return next((tag for tag in PAIRS if prompt.endswith(tag)), None)


class Reasoning:
    """Splits an answer into reasoning and answer proper. Tags are never given out, nor the white space around them.

    A tag counts only where it makes sense, so that an answer *about* tags stays whole: the opening tag as the very first
    text of the answer (white space aside), or already at the end of the prompt (`opened_by`); the closing tag inside the
    reasoning; channels only if the answer starts with one. All else is the answer.
    """

    def __init__(self, opened_by: str | None = None) -> None:
        self._held = ""
        self._trims = True
        self._opened_by = opened_by
        self._closing = PAIRS[opened_by] if opened_by else ""
        self._in_answer = False
        self._step = self._inside if opened_by else self._beginning

    @property
    def looks_for_markers(self) -> bool:
        """False once everything that follows is the answer."""
        return self._step != self._answer

    def feed(self, text: str) -> list[Span]:
        """What became final with `text`, in order."""
        self._held += text
        spans: list[Span] = []
        while self._step(spans, last=False):
            pass
        return spans

    def flush(self) -> list[Span]:
        """What was held back, at the end of the answer."""
        spans: list[Span] = []
        while self._step(spans, last=True):
            pass
        return spans

    # Each step takes what it can from `_held`, and says whether the next one should look at the rest.

    def _beginning(self, spans: list[Span], *, last: bool) -> bool:
        start = self._held.lstrip()
        for tag, closing in PAIRS.items():
            if start.startswith(tag):
                self._enter(start[len(tag) :], closing)
                return True
        if start.startswith(CHANNEL):
            self._held = start[len(CHANNEL) :]
            self._step = self._channel_name
            return True
        if not last and any(tag.startswith(start) for tag in (*PAIRS, CHANNEL)):
            return False
        self._trims = False
        self._step = self._answer
        return True

    def _enter(self, rest: str, closing: str) -> None:
        self._held, self._closing, self._trims = rest, closing, True
        self._step = self._inside

    def _inside(self, spans: list[Span], *, last: bool) -> bool:
        if self._trims:
            self._held = self._held.lstrip()
            if self._opened_by:
                # Some models repeat the tag that the prompt has given them already.
                if self._held.startswith(self._opened_by):
                    self._held = self._held[len(self._opened_by) :]
                elif self._opened_by.startswith(self._held) and not last:
                    return False
                self._opened_by = None
                return True
        before, found, after = self._held.partition(self._closing)
        if found:
            self._give(spans, before.rstrip(), reasoning=True)
            self._held, self._trims = after, True
            self._step = self._answer
            return True
        held = 0 if last else unfinished(self._held, self._closing)
        ready = self._held[: len(self._held) - held].rstrip()
        self._give(spans, ready, reasoning=True)
        self._held = "" if last else self._held[len(ready) :]
        return False

    def _answer(self, spans: list[Span], *, last: bool) -> bool:
        text = self._held.lstrip() if self._trims else self._held
        self._held = ""
        self._give(spans, text, reasoning=False)
        return False

    def _channel_name(self, spans: list[Span], *, last: bool) -> bool:
        name, found, after = self._held.partition(MESSAGE)
        if not found:
            if last:
                self._held = ""
            return False
        self._held, self._trims = after, True
        self._in_answer = name.split()[:1] == [_ANSWER_CHANNEL]
        self._step = self._channel_text
        return True

    def _channel_text(self, spans: list[Span], *, last: bool) -> bool:
        if self._trims:
            self._held = self._held.lstrip()
        ends = [(at, tag) for tag in (END, START, CHANNEL) if (at := self._held.find(tag)) >= 0]
        if ends:
            at, tag = min(ends)
            self._give(spans, self._held[:at], reasoning=not self._in_answer)
            self._held = self._held[at + len(tag) :]
            self._step = self._channel_name if tag == CHANNEL else self._between
            return True
        held = 0 if last else max(unfinished(self._held, tag) for tag in (END, START, CHANNEL))
        cut = len(self._held) - held
        self._give(spans, self._held[:cut], reasoning=not self._in_answer)
        self._held = self._held[cut:]
        return False

    def _between(self, spans: list[Span], *, last: bool) -> bool:
        """Between two channels: the role that `<|start|>` names, until the next channel or message."""
        found = [(at, tag) for tag in (CHANNEL, MESSAGE) if (at := self._held.find(tag)) >= 0]
        if found:
            at, tag = min(found)
            self._held = self._held[at + len(tag) :]
            self._step = self._channel_name if tag == CHANNEL else self._channel_text
            self._trims = self._in_answer = True
            return True
        if last:
            self._held = ""
        return False

    def _give(self, spans: list[Span], text: str, *, reasoning: bool) -> None:
        if text:
            self._trims = False
            spans.append(Span(text, reasoning))
