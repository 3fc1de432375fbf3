"""One jobs process: claims jobs, runs attempts, writes down how they ended, and takes over what a dead process left.

The row decides who works: a claim is a compare-and-set, every later write names the claim, and a process that has lost its
claim stops writing. A job's code may therefore be run again after any crash, also after its last step: it has to find what
is done already. Blocks; called from the threads of one process.
"""

from __future__ import annotations

import logging
import random
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, close_old_connections
from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.jobs import backoff, outcomes
from models_app.jobs.attempt import Attempt
from models_app.jobs.commands import wake
from models_app.jobs.kinds import JobKind, kind_named
from models_app.models import Job, JobLine

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0
STALE_SECONDS = 60.0
"""A heartbeat older than this is a dead process's, on whatever machine it ran."""
RESEND_SECONDS = 30.0
KEPT = timedelta(days=180)
"""How long the row and the log of a job that is done or cancelled are kept. A failed one stays: its files may still be wanted."""

State = Job.State


class Runner:
    """Runs jobs for one box, in the threads of one process.

    `box` names the data folder: two live processes of one box cannot be (runjobs holds a lock), so that a claim of an
    earlier one is known to be dead at once; a claim of another box is dead when its heartbeat is old.
    """

    def __init__(
        self, box: str, *, now: Callable[[], datetime] = timezone.now, send: Callable[[int], None] = wake
    ) -> None:
        self._box = f"{box}#"
        self._process = f"{self._box}{secrets.token_hex(6)}."
        self._now = now
        self._send = send
        self._sent: dict[int, datetime] = {}
        self._pruned_at: datetime | None = None
        self._lock = threading.Lock()
        self._claimed: dict[str, dict[int, str]] = defaultdict(dict)
        """Kind to job to claim."""
        self._claims = 0
        self.stopping = threading.Event()

    # attempts --------------------------------------------------------------------------------------------------

    def work(self, job_id: int) -> None:
        """Runs that job, if it is due and nobody else does, and then others of its kind until none is due."""
        name = Job.objects.filter(pk=job_id).values_list("kind", flat=True).first()
        if name is None:
            return
        next_id: int | None = job_id
        while next_id is not None and not self.stopping.is_set():
            attempt = self._claim(next_id)
            if attempt is not None:
                self._make(attempt)
            elif next_id != job_id:
                return  # somebody else was quicker; the sweep finds what is left
            next_id = self._due().filter(kind=name).values_list("pk", flat=True).first() if self._room(name) else None

    def _due(self) -> QuerySet[Job]:
        due = Q(run_after=None) | Q(run_after__lte=self._now())
        return Job.objects.filter(due, state__in=(State.QUEUED, State.WAITING)).order_by("pk")

    def _room(self, name: str) -> int:
        kind = kind_named(name)
        with self._lock:
            return (kind.at_once if kind else 1) - len(self._claimed[name])

    def _claim(self, job_id: int) -> Attempt | None:
        job = self._due().filter(pk=job_id).first()
        if job is None:
            return None
        with self._lock:
            kind = kind_named(job.kind)
            # To be cancelled is no work that others of the kind should wait for, or that should wait for them.
            is_full = len(self._claimed[job.kind]) >= (kind.at_once if kind else 1) and job.wish != Job.Wish.CANCEL
            if is_full or job_id in self._claimed[job.kind]:
                return None
            self._claims += 1
            claim = self._claimed[job.kind][job_id] = f"{self._process}{self._claims}"
        began = self._now()
        if (
            not self._due()
            .filter(pk=job_id)
            .update(
                state=State.RUNNING,
                claimed_by=claim,
                heartbeat_at=began,
                started_at=job.started_at or began,
                run_after=None,
            )
        ):
            self._forget(job)
            return None
        job.refresh_from_db()
        return Attempt(job, claim, self.stopping)

    def _forget(self, job: Job) -> None:
        with self._lock:
            self._claimed[job.kind].pop(job.pk, None)

    def _make(self, attempt: Attempt) -> None:
        job = attempt.job
        before = job.done
        try:
            end = self._run(attempt, kind_named(job.kind))
            self._settle(attempt, end, moved=attempt.done > before)
        except DatabaseError:
            # The row still says that it runs. The next sweep finds that it doesn't.
            logger.exception("how a job ended was not stored", extra={"event": "job_unsettled", "job": job.pk})
        finally:
            self._forget(job)

    def _run(self, attempt: Attempt, kind: JobKind | None) -> Exception | None:
        """How the attempt ended; None: it is done."""
        job = attempt.job
        try:
            if kind is None:
                raise outcomes.JobFailed(f"This version of hostui has no jobs of the kind {job.kind}.")
            if job.wish == Job.Wish.CANCEL:
                raise outcomes.Cancelled
            kind.load_run()(attempt)
        except outcomes.Cancelled as cancelled:
            return self._discard(job, kind) or cancelled
        except outcomes.JobOutcome as outcome:
            return outcome
        except DatabaseError as error:
            logger.exception("a job's database failed", extra={"event": "job_storage", "job": job.pk})
            return outcomes.Retry(f"The database did not answer: {error}.")
        except Exception as error:
            logger.exception("a job broke", extra={"event": "job_broke", "job": job.pk, "kind": job.kind})
            return outcomes.JobFailed(
                f"Something unexpected went wrong ({type(error).__name__}: {error}); the log has more."
            )
        return None

    def _discard(self, job: Job, kind: JobKind | None) -> Exception | None:
        discard = kind.load_discard() if kind else None
        try:
            if discard is not None:
                discard(job)
        except OSError as error:
            return outcomes.JobFailed(f"Cancelled, but what it left could not be removed: {error.strerror or error}.")
        return None

    # how attempts end ------------------------------------------------------------------------------------------

    def _settle(self, attempt: Attempt, end: Exception | None, *, moved: bool) -> None:
        claimed = Job.objects.filter(pk=attempt.job.pk, state=State.RUNNING, claimed_by=attempt.claim)
        attempt.flush()
        attempts = 0 if moved else attempt.job.attempts
        now = self._now()
        ended: dict[str, Any] = {"ended_at": now, "rate_per_second": None, "claimed_by": "", "attempts": attempts}
        on: dict[str, Any] = {**ended, "ended_at": None}
        match end:
            case None:
                claimed.update(state=State.DONE, reason="", wish=Job.Wish.RUN, **ended)
                attempt.line("Done.")
            case outcomes.Cancelled():
                claimed.update(state=State.CANCELLED, reason="", wish=Job.Wish.RUN, **ended)
                attempt.line("Cancelled.")
            case outcomes.Paused():
                # Somebody may have wished otherwise meanwhile.
                if claimed.filter(wish=Job.Wish.PAUSE).update(state=State.PAUSED, reason="", **on):
                    attempt.line("Paused.")
                else:
                    claimed.update(state=State.QUEUED, reason="", **on)
            case outcomes.Interrupted():
                claimed.update(state=State.QUEUED, **on)
            case outcomes.Wait(reason=reason, seconds=seconds):
                claimed.update(state=State.WAITING, reason=reason, run_after=now + timedelta(seconds=seconds), **on)
                if reason != attempt.job.reason:
                    attempt.line(reason, JobLine.Level.WARNING)
            case outcomes.Retry():
                self._back_off(attempt, claimed, end, attempts + 1, {"ended": ended, "on": on})
            case outcomes.JobFailed(reason=reason):
                claimed.update(state=State.FAILED, reason=reason, wish=Job.Wish.RUN, **ended)
                attempt.line(reason, JobLine.Level.ERROR)
            case _:  # Lost: the row is somebody else's
                logger.warning("a claim was lost", extra={"event": "job_lost", "job": attempt.job.pk})

    def _back_off(
        self, attempt: Attempt, claimed: QuerySet[Job], retry: outcomes.Retry, attempts: int, changes: dict[str, Any]
    ) -> None:
        attempt.line(retry.reason, JobLine.Level.WARNING)
        if backoff.gives_up(attempts):
            reason = f"{retry.reason} Given up after {attempts} attempts; try again later."
            claimed.update(state=State.FAILED, reason=reason, wish=Job.Wish.RUN, **changes["ended"])
            return
        seconds = backoff.delay_seconds(attempts, random.random(), retry.after_seconds)  # noqa: S311  spreads, hides nothing
        later = self._now() + timedelta(seconds=seconds)
        claimed.update(
            state=State.WAITING, reason=retry.reason, run_after=later, **{**changes["on"], "attempts": attempts}
        )

    # what nobody runs ------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Says that this process lives, takes over what dead ones left, and sends the messages of jobs that are due."""
        now = self._now()
        running = Job.objects.filter(state=State.RUNNING)
        if mine := self._claims_now():
            running.filter(claimed_by__in=mine).update(heartbeat_at=now)
        stale = Q(heartbeat_at__lt=now - timedelta(seconds=STALE_SECONDS))
        for job in running.filter(stale | Q(claimed_by__startswith=self._box)):
            if job.claimed_by in self._claims_now():
                continue
            taken = running.filter(pk=job.pk, claimed_by=job.claimed_by)
            if taken.update(state=State.QUEUED, claimed_by="", rate_per_second=None):
                JobLine.objects.create(job=job, level=JobLine.Level.WARNING, text="Its process ended; it goes on.")
        self._send_due(now)
        if self._pruned_at is None or now - self._pruned_at > timedelta(days=1):
            self._pruned_at = now
            Job.objects.filter(state__in=(State.DONE, State.CANCELLED), ended_at__lt=now - KEPT).delete()

    def _claims_now(self) -> list[str]:
        with self._lock:
            return [claim for jobs in self._claimed.values() for claim in jobs.values()]

    def _send_due(self, now: datetime) -> None:
        due = list(self._due().values_list("pk", "kind", "wish")[:500])
        recently = now - timedelta(seconds=RESEND_SECONDS)
        self._sent = {pk: at for pk, at in self._sent.items() if at > recently}
        room: dict[str, int] = {}
        for pk, kind, wish in due:
            room.setdefault(kind, self._room(kind))
            if wish != Job.Wish.CANCEL:
                room[kind] -= 1
                if room[kind] < 0:
                    continue
            if pk not in self._sent:
                self._sent[pk] = now
                self._send(pk)

    def keep_sweeping(self) -> None:
        """Until `stopping` is set. The body of a thread."""
        while True:
            close_old_connections()
            try:
                self.sweep()
            except DatabaseError:
                logger.exception("the sweep failed", extra={"event": "job_sweep_failed"})
            finally:
                close_old_connections()
            if self.stopping.wait(SWEEP_SECONDS):
                return
