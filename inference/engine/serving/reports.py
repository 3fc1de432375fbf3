"""The lines that a worker writes to its host: how far a load is, what the engine does, why it failed."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from typing import Any, NoReturn

from inference.engine import protocol
from inference.engine.protocol import Loading, Stats, WorkerFailed, WorkerReport
from inference.engine.serving.context_thread import ContextThread
from inference.engine.serving.loading import CannotLoad

_STATS_SECONDS = 1.0
_PROGRESS_SECONDS = 0.1


class Reports:
    """Writes a worker's reports to its host. Every method may be called from any thread.

    They go to what standard output was at the start; descriptor 1 itself is pointed at standard error, so that no library can
    print between two reports.
    """

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._lock = threading.Lock()
        self._progress_sent_at = time.monotonic()

    def send(self, report: WorkerReport) -> None:
        """Writes one line. Blocks while the pipe is full, and ends the process where nobody listens."""
        raw = protocol.encode(report)
        with self._lock:
            try:
                while raw:
                    raw = raw[os.write(self._descriptor, raw) :]
            except OSError:
                # The host is gone.
                os._exit(1)

    def loading(self, fraction: float) -> None:
        """Reports a load's progress, at most ten times a second: llama.cpp does so for each tensor."""
        now = time.monotonic()
        if now - self._progress_sent_at >= _PROGRESS_SECONDS:
            self._progress_sent_at = now
            self.send(Loading(type="loading", fraction=round(fraction, 3)))

    def fail(self, failed: CannotLoad) -> NoReturn:
        """Reports why the worker gives up, and ends the process."""
        self.send(WorkerFailed(type="failed", reason=failed.reason, detail=failed.detail))
        sys.stderr.flush()
        os._exit(1)


class StatsReporter:
    """Reports what a context's thread does: each second while it works, and once when it rests. Never wakes while idle."""

    def __init__(self, reports: Reports, thread: ContextThread[Any]) -> None:
        """On the event loop that is to send."""
        self._reports = reports
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._tokens_before = 0
        self._reported_at = time.monotonic()

    def note_busy(self, busy: bool) -> None:
        """Takes the thread's word that it starts to work or rests. From any thread."""
        self._loop.call_soon_threadsafe(self._note_busy, busy)

    def _note_busy(self, busy: bool) -> None:
        if busy and not self._busy:
            self._reported_at = time.monotonic()
            self._timer = self._loop.call_later(_STATS_SECONDS, self._tick)
        elif self._busy and not busy:
            if self._timer is not None:
                self._timer.cancel()
            self._report(busy=False)
        self._busy = busy

    def _tick(self) -> None:
        self._report(busy=True)
        self._timer = self._loop.call_later(_STATS_SECONDS, self._tick)

    def _report(self, *, busy: bool) -> None:
        now = time.monotonic()
        stats = self._thread.stats()
        # A burst shorter than a second still counts as tokens per second, not per burst.
        seconds = max(_STATS_SECONDS, now - self._reported_at)
        self._reports.send(
            Stats(
                type="stats",
                slots_busy=stats.slots_busy if busy else 0,
                tokens_per_second=round((stats.tokens_total - self._tokens_before) / seconds, 2),
                tokens_total=stats.tokens_total,
                step_age_seconds=round(now - stats.step_ended_at, 3) if busy else None,
            )
        )
        self._tokens_before = stats.tokens_total
        self._reported_at = now
