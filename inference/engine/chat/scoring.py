"""A text that is read and not continued: the logits of its tokens go to a file, for whoever compares models.

To the batcher it is a generation whose prompt has outputs in its middle and which ends with its prompt. No memory is needed
beyond the context's own: a step carries as many of these outputs as the context has rows for anyway.
"""

from __future__ import annotations

import itertools
import os
import time
from array import array
from collections.abc import Iterator

from inference.core.decoding.generation_options import GenerationOptions
from inference.engine.chat.generation import Generation, Pieces
from inference.engine.llama import Context
from inference.engine.protocol import Scored
from inference.engine.serving.message_sink import MessageSink

_numbers = itertools.count()


class _NoSampler:
    """Stands in place of a sampler: nothing is drawn."""

    ended = True

    def sample(self, context: Context, output: int) -> int:
        raise AssertionError("a text that is scored has no next token")

    def close(self) -> None:
        pass


class Scoring(Generation):
    """Writes one row of float32 logits for each token from `first` on but the last, which has no successor to foretell."""

    def __init__(self, *, owner: str, tokens: array[int], first: int, descriptor: int, sink: MessageSink) -> None:
        super().__init__(
            # Tokens that are in the cache already would be passed over, and their logits with them.
            owner=f"{owner} {next(_numbers)}",
            prompt=tokens,
            options=GenerationOptions(),
            sampler=_NoSampler(),
            reasoning=None,
            pieces=Pieces(lambda _: b"", lambda _: b""),
            sink=sink,
        )
        self._first = first
        self._descriptor = descriptor
        self._n_rows = 0
        self._began = time.monotonic()

    def portion(self, count: int, n_outputs: int) -> int:
        """How many of `count` tokens may be evaluated now, where the context has `n_outputs` rows for us."""
        if self.n_done < self._first:
            return min(count, self._first - self.n_done)
        return min(count, max(1, n_outputs))

    def outputs(self, start: int, count: int) -> Iterator[int]:
        """Of the tokens from `start`, those whose logits are wanted, counted from `start`."""
        last = len(self.prompt) - 1
        return (position - start for position in range(max(start, self._first), min(start + count, last)))

    def write(self, logits: memoryview[float]) -> None:
        """Appends a row to the file. Blocks on the disk. Raises OSError."""
        raw = logits.cast("B")
        while raw:
            raw = raw[os.write(self._descriptor, raw) :]
        self._n_rows += 1

    def end(self) -> None:
        """Sends the last message."""
        scored = Scored(type="scored", n_rows=self._n_rows, seconds=round(time.monotonic() - self._began, 6))
        self.sink.send(*self._ready, scored, last=True)
        self._ready.clear()
