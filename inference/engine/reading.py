"""A worker that reads: what a text sends into each weight is summed up, chunk by chunk, and nothing is generated.

As in `batching` one thread owns the context. Its steps are of one size and carry nothing but the text, so that the sums do
not depend on who asks for a sign of life meanwhile.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
import traceback
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NoReturn

from inference.engine.batching import Pulse
from inference.engine.generation import Outlet
from inference.engine.imatrix import BadImatrix
from inference.engine.imatrix_making import Collector, encoded
from inference.engine.llama import Batch, Context, Model
from inference.engine.protocol import Chunk, Made, RefusalCode, Refused


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


class Reader(threading.Thread):
    """Start it, then hand it work from any thread. `on_busy` and `on_broken` are a Batcher's."""

    def __init__(
        self,
        model: Model,
        context: Context,
        ear: Ear,
        *,
        on_busy: Callable[[bool], None],
        on_broken: Callable[[str], NoReturn],
    ) -> None:
        super().__init__(name="read", daemon=True)
        self._model = model
        self._context = context
        self._ear = ear
        self._batch = Batch(context.n_batch)
        self._readings: deque[Reading] = deque()
        self._pings: list[Callable[[float], None]] = []
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._on_busy = on_busy
        self._on_broken = on_broken
        self._tokens_total = 0
        self._step_ended_at = time.monotonic()

    # from any thread --------------------------------------------------------------------------------------------

    def warm_up(self) -> Future[None]:
        """Decodes a first step as large as any, so that all memory is there; the future holds the RuntimeError where that fails."""
        future: Future[None] = Future()

        def decode() -> None:
            code = self._decode(0, self._batch.capacity)
            if code == 0:
                future.set_result(None)
            else:
                future.set_exception(RuntimeError(f"the first decode failed with code {code}"))

        self._work.put(decode)
        return future

    def submit(self, reading: Reading) -> None:
        self._work.put(lambda: self._readings.append(reading))

    def withdraw(self, reading: Reading) -> Future[None]:
        """Cancels before the next step; when the future is done nobody writes to its file any more."""
        future: Future[None] = Future()

        def let_go() -> None:
            self._drop_abandoned()
            future.set_result(None)

        reading.cancelled = True
        self._work.put(let_go)
        return future

    def ping(self, on_pong: Callable[[float], None]) -> None:
        """Decodes one token between two steps and calls `on_pong` with the milliseconds that took."""
        self._work.put(lambda: self._pings.append(on_pong))

    def pulse(self) -> Pulse:
        return Pulse(int(bool(self._readings)), self._tokens_total, self._step_ended_at)

    # the reading thread -----------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            while True:
                self._work.get()()
                if not self._readings and not self._pings:
                    continue
                self._step_ended_at = time.monotonic()
                self._on_busy(True)
                while self._advance():
                    pass
                self._on_busy(False)
        except BaseException:
            traceback.print_exc(file=sys.stderr)
            self._on_broken("the reading thread failed; its traceback is in the log")

    def _advance(self) -> bool:
        """Takes in news, answers who asks, then reads one step. False when there is nothing left to do."""
        while not self._work.empty():
            self._work.get()()
        self._answer_pings()
        self._drop_abandoned()
        if not self._readings:
            return False
        reading = self._readings[0]
        self._step(reading)
        if reading.is_over:
            self._readings.popleft()
        return True

    def _drop_abandoned(self) -> None:
        self._readings = deque(each for each in self._readings if not each.abandoned)

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
        token = next((token for token in (self._model.bos, self._model.eos) if token >= 0), 0)
        self._batch.clear()
        for position in range(n_tokens):
            self._batch.add(token, position, sequence, True)
        code = self._context.decode(self._batch)
        self._context.clear(sequence)
        self._step_ended_at = time.monotonic()
        return code
