"""The thread that owns a context. Others put what they want decoded into its mailbox."""

from __future__ import annotations

import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, NoReturn, Protocol, TypeVar

from inference.engine.llama import Batch, Context, Model


class Cancellable(Protocol):
    """Work that a ContextThread lets go of, at the latest before its next step, once `cancelled` is set."""

    cancelled: bool


Work = TypeVar("Work", bound=Cancellable)


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Counts what the thread has done so far. A stale reading is fine."""

    slots_busy: int
    tokens_total: int
    step_ended_at: float
    """time.monotonic() of the last decode step's end."""


class ContextThread(threading.Thread, Generic[Work]):
    """Owns a context. Start it, then hand it work from any thread with `warm_up`, `submit`, `withdraw` and `ping`.

    `on_busy` is called on this thread with True when work begins and False when the last of it is done; `on_broken` when
    decoding has failed for good, and must not return.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        context: Context,
        *,
        on_busy: Callable[[bool], None],
        on_broken: Callable[[str], NoReturn],
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._model = model
        self._context = context
        self._batch = Batch(context.n_batch)
        self._waiting: deque[Work] = deque()
        self._pings: list[Callable[[float], None]] = []
        self._mailbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._on_busy = on_busy
        self._on_broken = on_broken
        self._tokens_total = 0
        self._step_ended_at = time.monotonic()

    # from any thread --------------------------------------------------------------------------------------------

    def warm_up(self) -> Future[None]:
        """Decodes a first time; the future holds the RuntimeError where that fails.

        On this thread, as all decoding: a thread that has decoded once keeps an OpenMP team for good, and with two teams
        libgomp counts more threads than cores and hardly spins between a model's layers (82 instead of 140 tokens/s).
        """
        future: Future[None] = Future()

        def decode() -> None:
            try:
                self._warm_up()
            except RuntimeError as error:
                future.set_exception(error)
            else:
                future.set_result(None)

        self._mailbox.put(decode)
        return future

    def submit(self, work: Work) -> None:
        """Queues `work`. From any thread."""
        self._mailbox.put(lambda: self._waiting.append(work))

    def withdraw(self, work: Work) -> Future[None]:
        """Cancels before the next step; when the future is done this thread has let go of what the work holds."""
        future: Future[None] = Future()

        def let_go() -> None:
            self._drop_abandoned()
            future.set_result(None)

        work.cancelled = True
        self._mailbox.put(let_go)
        return future

    def ping(self, on_pong: Callable[[float], None]) -> None:
        """Decodes one token beside everything else and calls `on_pong` with the milliseconds that took."""
        self._mailbox.put(lambda: self._pings.append(on_pong))

    def stats(self) -> EngineStats:
        """A snapshot, from any thread."""
        return EngineStats(self._n_busy(), self._tokens_total, self._step_ended_at)

    # this thread ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            while True:
                self._mailbox.get()()
                if not self._waiting and not self._pings:
                    continue
                self._step_ended_at = time.monotonic()
                self._wake()
                self._on_busy(True)
                while self._advance():
                    pass
                self._on_busy(False)
        except BaseException:
            traceback.print_exc(file=sys.stderr)
            self._on_broken(f"the {self.name} thread failed; its traceback is in the log")

    def _take_in(self) -> None:
        """Runs what was put into the mailbox since the last step."""
        while not self._mailbox.empty():
            self._mailbox.get()()

    def _add_token(self, position: int, sequence: int) -> None:
        """Adds any token to the batch, for a step whose outcome nobody asks for."""
        token = next((token for token in (self._model.bos, self._model.eos) if token >= 0), 0)
        self._batch.add(token, position, sequence, True)

    # each kind's own --------------------------------------------------------------------------------------------

    def _warm_up(self) -> None:
        """Decodes a first time. Raises RuntimeError."""
        raise NotImplementedError

    def _wake(self) -> None:
        """Prepares for a first step after a rest."""

    def _advance(self) -> bool:
        """Empties the mailbox, then runs one step. False when there is nothing left to do."""
        raise NotImplementedError

    def _drop_abandoned(self) -> None:
        """Lets go of work that nobody waits for."""
        raise NotImplementedError

    def _n_busy(self) -> int:
        """How many slots are at work."""
        raise NotImplementedError
