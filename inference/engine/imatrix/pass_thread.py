"""A worker that reads: what a text sends into each weight is summed up, chunk by chunk, and nothing is generated.

As in `batching` one thread owns the context. Its steps are of one size and carry nothing but the text, so that the sums do
not depend on who asks for a sign of life meanwhile.
"""

from __future__ import annotations

import os
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import NoReturn

from inference.engine.imatrix.collector import Collector, encoded
from inference.engine.imatrix.file import BadImatrix
from inference.engine.llama import Context, Model
from inference.engine.protocol import Chunk, Made, RefusalCode, Refused
from inference.engine.serving.context_thread import ContextThread
from inference.engine.serving.outlet import Outlet


class Ear:
    """What a context's graph is shown to: whoever reads at the moment, if anybody does."""

    def __init__(self) -> None:
        self.collector: Collector | None = None

    def hear(self, address: int, ask: bool) -> bool:
        return self.collector is not None and self.collector.hear(address, ask)


class Reading:
    """A part of one text, in chunks of equal length. Owned by the reading thread from submission on; `cancelled` alone may be
    set from elsewhere."""

    def __init__(
        self,
        *,
        chunks: Sequence[array[int]],
        first_chunk: int,
        seconds: float,
        collector: Collector,
        dataset: str,
        descriptor: int,
        outlet: Outlet,
    ) -> None:
        """`chunks`: of the whole text. `collector`: with the sums of those before `first_chunk`."""
        self.chunks = chunks
        self.outlet = outlet
        self.cancelled = False
        self.collector = collector
        self.n_chunks_read = first_chunk
        self.n_tokens_read = 0
        """Of the present chunk."""
        self.is_over = False
        self._dataset = dataset
        self._descriptor = descriptor
        self._seconds = seconds
        self._began = time.monotonic()

    @property
    def abandoned(self) -> bool:
        return self.cancelled or self.outlet.broken

    def advance(self, n_tokens: int) -> None:
        """So many of the present chunk's tokens were read."""
        self.n_tokens_read += n_tokens
        if self.n_tokens_read < len(self.chunks[self.n_chunks_read]):
            return
        self.n_chunks_read, self.n_tokens_read = self.n_chunks_read + 1, 0
        self.outlet.send(Chunk(type="chunk", done=self.n_chunks_read, total=len(self.chunks)))
        if self.n_chunks_read == len(self.chunks) or time.monotonic() - self._began >= self._seconds:
            self._finish()

    def refuse(self, code: RefusalCode, detail: str, errno: int | None = None) -> None:
        self.is_over = True
        facts = {} if errno is None else {"errno": errno}
        self.outlet.send(Refused(type="refused", code=code, detail=detail, facts=facts), last=True)

    def _finish(self) -> None:
        try:
            raw = memoryview(encoded(self.collector, self._dataset, self.n_chunks_read, len(self.chunks[0])))
            while raw:
                raw = raw[os.write(self._descriptor, raw) :]
        except BadImatrix as bad:
            self.refuse("decode_failed", str(bad))
        except OSError as error:
            self.refuse("decode_failed", f"the matrix could not be written: {error.strerror or error}", error.errno)
        else:
            self.is_over = True
            seconds = round(time.monotonic() - self._began, 3)
            self.outlet.send(Made(type="made", n_chunks=self.n_chunks_read, seconds=seconds), last=True)


class Reader(ContextThread[Reading]):
    """One text after the other. See ContextThread for how it is handed work."""

    def __init__(
        self,
        model: Model,
        context: Context,
        ear: Ear,
        *,
        on_busy: Callable[[bool], None],
        on_broken: Callable[[str], NoReturn],
    ) -> None:
        super().__init__("reading", model, context, on_busy=on_busy, on_broken=on_broken)
        self._ear = ear

    # the reading thread -----------------------------------------------------------------------------------------

    def _warm_up(self) -> None:
        """A step as large as any, so that all memory is there."""
        code = self._decode(0, self._batch.capacity)
        if code != 0:
            raise RuntimeError(f"the first decode failed with code {code}")

    def _n_busy(self) -> int:
        return int(bool(self._waiting))

    def _advance(self) -> bool:
        """Takes in news, answers who asks, then reads one step. False when there is nothing left to do."""
        self._take_in()
        self._answer_pings()
        self._drop_abandoned()
        if not self._waiting:
            return False
        reading = self._waiting[0]
        self._step(reading)
        if reading.is_over:
            self._waiting.popleft()
        return True

    def _drop_abandoned(self) -> None:
        self._waiting = deque(each for each in self._waiting if not each.abandoned)

    def _step(self, reading: Reading) -> None:
        start = reading.n_tokens_read
        if start == 0:
            self._context.clear(0)
        tokens = reading.chunks[reading.n_chunks_read][start : start + self._batch.capacity]
        self._batch.clear()
        for offset, token in enumerate(tokens):
            self._batch.add(token, start + offset, 0, True)
        self._ear.collector = reading.collector
        code = self._context.decode(self._batch)
        self._ear.collector = None
        self._step_ended_at = time.monotonic()
        if code != 0:
            reading.refuse("decode_failed", f"llama.cpp could not evaluate this step (code {code})")
        elif reading.collector.error is not None:
            reading.refuse(
                "decode_failed", f"what goes on inside this model could not be followed: {reading.collector.error}"
            )
        else:
            self._tokens_total += len(tokens)
            reading.advance(len(tokens))
            if reading.n_tokens_read == 0:
                # A whole chunk fills the cache: a sign of life would find no room.
                self._context.clear(0)

    def _answer_pings(self) -> None:
        pings, self._pings = self._pings, []
        if not pings:
            return
        began = time.monotonic()
        if self._decode(self._context.spare_sequence, 1) == 0:
            for on_pong in pings:
                on_pong((time.monotonic() - began) * 1000)

    def _decode(self, sequence: int, n_tokens: int) -> int:
        """Tokens that nobody listens to, in an empty sequence that is empty afterwards. Returns llama.cpp's code."""
        self._batch.clear()
        for position in range(n_tokens):
            self._add_token(position, sequence)
        code = self._context.decode(self._batch)
        self._context.clear(sequence)
        self._step_ended_at = time.monotonic()
        return code
