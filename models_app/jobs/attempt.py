"""What a job's code is handed: its spec, what was kept, and the way to say how far it is. Blocks on the database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Event
from typing import Any

from django.db import DatabaseError, close_old_connections, transaction
from django.utils import timezone

from models_app.audit import ADDITION, record
from models_app.jobs.mentions import KEY, Mentions, mentions_of, without_mentions
from models_app.jobs.outcomes import Cancelled, Interrupted, Lost, Paused
from models_app.jobs.rate import Rate
from models_app.models import Job, JobLine
from models_app.storable import storable

logger = logging.getLogger(__name__)

WRITE_SECONDS = 0.5
LONGEST_LINE = 4000
LONGEST_STAGE = 200


class Attempt:
    """One attempt at a job, by the process that claimed it. Used by the attempt's own thread alone.

    `job` is the row as it was claimed; its counters are not refreshed.
    """

    def __init__(
        self, job: Job, claim: str, stopping: Event | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.job = job
        self.spec: dict[str, Any] = job.spec
        self.kept: dict[str, Any] = without_mentions(job.kept)
        self.done = job.done
        self.claim = claim
        self._stopping = stopping or Event()
        self._clock = clock
        self._mentions = mentions_of(job)
        self._rate = Rate()
        self._written_at: float | None = None
        self._unwritten: dict[str, Any] = {}

    def progress(
        self, done: int, total: int | None = None, stage: str | None = None, about: Mapping[str, Any] | None = None
    ) -> None:
        """Cheap to call often: writes twice a second at most, a new stage at once. `total` and `stage` stay where None.

        `stage` names no variant but those of the title. `about`: what else there is to say of the stage, as JSON, for whoever
        words it for a reader; a stage without it has none.

        Raises Paused, Cancelled, Interrupted or Lost: within half a second of the cause, where it is called that often.
        """
        self.done = done
        self._unwritten["done"] = done
        if total is not None:
            self._unwritten["total"] = total
        named = self.job.stage if stage is None else storable(stage)[:LONGEST_STAGE]
        mentions = self._mentions if stage is None else replace(self._mentions, stage=about)
        is_new = (named, mentions) != (self.job.stage, self._mentions)
        if is_new:
            self._unwritten["stage"] = self.job.stage = named
            self._rate = Rate()
        if mentions != self._mentions:
            self._mentions = mentions
            self._unwritten["kept"] = self._kept_of(mentions)
        self.check(write=is_new)

    def set_done(self, done: int) -> None:
        """Says for the last time how far it is. Raises nothing; written with how the attempt ends."""
        self.done = self._unwritten["done"] = done

    def check(self, *, write: bool = False) -> None:
        """`progress` for who has none to tell: raises the same."""
        if self._stopping.is_set():
            self._write()
            raise Interrupted
        now = self._clock()
        if write or self._written_at is None or now - self._written_at >= WRITE_SECONDS:
            self._written_at = now
            if "done" in self._unwritten:
                self._unwritten["rate_per_second"] = self._rate.see(now, self.done)
            self._obey(self._write())

    def keep(self, kept: dict[str, Any]) -> None:
        """Replaces what the next attempt is to know, at once. Raises as `progress` does, and DatabaseError."""
        self.kept = kept
        self._store(self._mentions)

    def mention(self, *variant_ids: int) -> None:
        """Says which variants the next lines and reasons name, if the title does not. Raises as `keep` does."""
        mentions = self._mentions.with_others(variant_ids)
        if mentions != self._mentions:
            self._store(mentions)

    def _store(self, mentions: Mentions) -> None:
        self._mentions = mentions
        self._unwritten.pop("kept", None)
        if not self._mine().update(kept=self._kept_of(mentions)):
            raise Lost

    def _kept_of(self, mentions: Mentions) -> dict[str, Any]:
        return {**self.kept, KEY: mentions.to_json()}

    def line(self, text: str, level: str = JobLine.Level.INFO) -> None:
        """Adds to the job's log. A line that cannot be stored is in the process's own log."""
        logger.info(text, extra={"event": "job_line", "job": self.job.pk})
        try:
            JobLine.objects.create(job_id=self.job.pk, text=storable(text)[:LONGEST_LINE], level=level)
        except DatabaseError as error:
            logger.warning("a job's line was not stored", extra={"event": "job_line_lost", "error": str(error)})

    def made(self, variant: Any) -> None:
        """Names the variant that this job made or works on. One that it made is noted in the log."""
        is_new = variant.pk != self.job.variant_id
        self.job.variant = variant
        self._mentions = self._mentions.with_made(variant.pk)
        self._unwritten.pop("kept", None)
        with transaction.atomic():
            if self._mine().update(variant=variant, kept=self._kept_of(self._mentions)) and is_new:
                record([variant], self.job.created_by_id, ADDITION, f"Made by a job: {self.job.title}.")

    def flush(self) -> None:
        """Writes progress that is not written yet. Raises DatabaseError."""
        if self._unwritten:
            self._mine().update(**self._unwritten)
            self._unwritten.clear()

    def _mine(self) -> Any:
        return Job.objects.filter(pk=self.job.pk, state=Job.State.RUNNING, claimed_by=self.claim)

    def _write(self) -> str | None:
        """The present wish; None where the database does not answer, which is no reason to stop working."""
        try:
            if not self._mine().update(heartbeat_at=timezone.now(), **self._unwritten):
                raise Lost
            self._unwritten.clear()
            return str(self._mine().values_list("wish", flat=True).get())
        except Job.DoesNotExist:
            raise Lost from None
        except DatabaseError as error:
            logger.warning("a job's progress was not stored", extra={"event": "job_unstored", "error": str(error)})
            close_old_connections()  # a database server that was restarted wants another
            return None

    def _obey(self, wish: str | None) -> None:
        if wish == Job.Wish.PAUSE:
            raise Paused
        if wish == Job.Wish.CANCEL:
            raise Cancelled
