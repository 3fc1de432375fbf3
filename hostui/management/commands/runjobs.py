"""The jobs process: a Celery worker with threads, so that it costs one process."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from types import FrameType
from typing import Any

from celery import bootsteps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from hostui.box import lifeline, locks
from models_app.jobs.heartbeat import HEARTBEAT_SECONDS, JOBS_HEARTBEAT

CONCURRENCY = 12
"""Threads, each started by the first job that needs it. How many jobs of a kind run at once is the kind's own matter."""
PREDECESSOR_SECONDS = 15.0


class Heartbeat(bootsteps.StartStopStep):
    """Touches the heartbeat file from the consumer's own loop: a fresh file means that messages are being read."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._entry: Any = None

    def start(self, consumer: Any) -> None:
        consumer.call_soon(JOBS_HEARTBEAT.touch)
        self._entry = consumer.timer.call_repeatedly(HEARTBEAT_SECONDS, consumer.call_soon, (JOBS_HEARTBEAT.touch,))

    def stop(self, consumer: Any) -> None:
        if self._entry is not None:
            self._entry.cancel()


def _end_at_once_when_idle(**kwargs: Any) -> None:
    """Celery ends between two polls, up to four seconds later; with no task in hand there is nothing to wait for."""
    from celery.exceptions import WorkerShutdown
    from celery.worker import state

    from models_app.tasks import runner

    politely: Any = signal.getsignal(signal.SIGTERM)

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        runner().stopping.set()
        if state.active_requests or state.reserved_requests:
            politely(number, frame)
        else:
            raise WorkerShutdown(os.EX_OK)

    signal.signal(signal.SIGTERM, on_sigterm)


class Command(BaseCommand):
    help = "Runs the jobs process. Usually started by `serve`."
    requires_system_checks: list[str] = []  # noqa: RUF012  serve has checked once for all

    def handle(self, *args: Any, **options: Any) -> None:
        lifeline.hold()
        try:
            locks.hold(settings.RUN_DIR / "jobs.lock", PREDECESSOR_SECONDS)
        except locks.LockHeld as held:
            raise CommandError(f"a jobs process is already running (pid {held.pid})") from None
        JOBS_HEARTBEAT.unlink(missing_ok=True)

        from celery.platforms import SecurityWarning  # type: ignore[attr-defined]  # the stubs lack it
        from celery.signals import worker_ready

        from hostui.celery import app
        from models_app.tasks import runner

        # It warns of root because pickled messages could run anything; only JSON is accepted here.
        warnings.simplefilter("ignore", SecurityWarning)

        app.steps["consumer"].add(Heartbeat)
        worker = app.Worker(
            pool="threads",
            concurrency=CONCURRENCY,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
        worker_ready.connect(_end_at_once_when_idle)
        threading.Thread(target=runner().keep_sweeping, name="sweep", daemon=True).start()
        worker.start()
        sys.exit(worker.exitcode)
