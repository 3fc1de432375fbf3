"""The thread that evaluates a text for an importance matrix, chunk by chunk; nothing is generated.

As in `chat.batching` one thread owns the context. Its steps are of one size and carry nothing but the text, so that the sums
do not depend on who pings meanwhile.
"""

from __future__ import annotations

import os
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import NoReturn

from inference.engine.imatrix.collector import Collector
from inference.engine.imatrix.file import BadImatrix, encoded
from inference.engine.imatrix.graph_observer import GraphObserver
from inference.engine.llama import Context, Model
from inference.engine.protocol import Chunk, Made, RefusalCode, RefusalFacts, Refused
from inference.engine.serving.context_thread import ContextThread
from inference.engine.serving.message_sink import MessageSink


class ImatrixPass:
    """Evaluates one part of a text, in chunks of equal length.

    Owned by the thread from submission on; `cancelled` alone may be set from elsewhere.
    """

    def __init__(
        self,
        *,
        chunks: Sequence[array[int]],
        first_chunk: int,
        seconds: float,
        collector: Collector,
        dataset: str,
        descriptor: int,
        sink: MessageSink,
    ) -> None:
        """`chunks`: of the whole text. `collector`: with the sums of those before `first_chunk`."""
        self.chunks = chunks
        self.sink = sink
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
        return self.cancelled or self.sink.broken

    def advance(self, n_tokens: int) -> None:
        """Counts tokens of the present chunk as evaluated, and sends what that completes."""
        self.n_tokens_read += n_tokens
        if self.n_tokens_read < len(self.chunks[self.n_chunks_read]):
            return
        self.n_chunks_read, self.n_tokens_read = self.n_chunks_read + 1, 0
        self.sink.send(Chunk(type="chunk", done=self.n_chunks_read, total=len(self.chunks)))
        if self.n_chunks_read == len(self.chunks) or time.monotonic() - self._began >= self._seconds:
            self._finish()

    def refuse(self, code: RefusalCode, detail: str, errno: int | None = None) -> None:
        self.is_over = True
        facts: RefusalFacts = {} if errno is None else {"errno": errno}
        self.sink.send(Refused(type="refused", code=code, detail=detail, facts=facts), last=True)

    def _finish(self) -> None:
        try:
            raw = memoryview(
                encoded(
                    self.collector.sums, self.collector.counts, self._dataset, self.n_chunks_read, len(self.chunks[0])
                )
            )
            while raw:
                raw = raw[os.write(self._descriptor, raw) :]
        except BadImatrix as bad:
            self.refuse("decode_failed", str(bad))
        except OSError as error:
            self.refuse("decode_failed", f"the matrix could not be written: {error.strerror or error}", error.errno)
        else:
            self.is_over = True
            seconds = round(time.monotonic() - self._began, 3)
            self.sink.send(Made(type="made", n_chunks=self.n_chunks_read, seconds=seconds), last=True)


class ImatrixThread(ContextThread[ImatrixPass]):
    """Evaluates one pass after the other. See ContextThread for how it is handed work."""

    def __init__(
        self,
        model: Model,
        context: Context,
        observer: GraphObserver,
        *,
        on_busy: Callable[[bool], None],
        on_broken: Callable[[str], NoReturn],
    ) -> None:
        super().__init__("imatrix", model, context, on_busy=on_busy, on_broken=on_broken)
        self._observer = observer

    # this thread ----------------------------------------------------------------------------------------------

    def _warm_up(self) -> None:
        """A step as large as any, so that all memory is there."""
        code = self._decode(0, self._batch.capacity)
        if code != 0:
            raise RuntimeError(f"the first decode failed with code {code}")

    def _n_busy(self) -> int:
        return int(bool(self._waiting))

    def _advance(self) -> bool:
        """Empties the mailbox, answers pings, then runs one step. False when there is nothing left to do."""
        self._take_in()
        self._answer_pings()
        self._drop_abandoned()
        if not self._waiting:
            return False
        work = self._waiting[0]
        self._step(work)
        if work.is_over:
            self._waiting.popleft()
        return True

    def _drop_abandoned(self) -> None:
        self._waiting = deque(each for each in self._waiting if not each.abandoned)

    def _step(self, work: ImatrixPass) -> None:
        start = work.n_tokens_read
        if start == 0:
            self._context.clear(0)
        tokens = work.chunks[work.n_chunks_read][start : start + self._batch.capacity]
        self._batch.clear()
        for offset, token in enumerate(tokens):
            self._batch.add(token, start + offset, 0, True)
        self._observer.collector = work.collector
        code = self._context.decode(self._batch)
        self._observer.collector = None
        self._step_ended_at = time.monotonic()
        if code != 0:
            work.refuse("decode_failed", f"llama.cpp could not evaluate this step (code {code})")
        elif work.collector.error is not None:
            work.refuse(
                "decode_failed", f"what goes on inside this model could not be followed: {work.collector.error}"
            )
        else:
            self._tokens_total += len(tokens)
            work.advance(len(tokens))
            if work.n_tokens_read == 0:
                # A whole chunk fills the cache: a ping would find no room.
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
        """Decodes any tokens in an empty sequence, which is empty again afterwards. Returns llama.cpp's code."""
        self._batch.clear()
        for position in range(n_tokens):
            self._add_token(position, sequence)
        code = self._context.decode(self._batch)
        self._context.clear(sequence)
        self._step_ended_at = time.monotonic()
        return code
