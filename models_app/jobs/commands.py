"""What people do to jobs: start, pause, resume, cancel, retry.

Each is one compare-and-set on the row, from any process, and an entry in the log; without a `user` it was the box.
They return whether the job's state allowed it. Nothing here waits for the job to obey.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.module_loading import import_string

from models_app.audit import ADDITION, CHANGE, record
from models_app.jobs.mentions import KEY, Mentions
from models_app.models import Job, Variant

logger = logging.getLogger(__name__)


def start(
    kind: str,
    spec: dict[str, Any],
    title: str,
    user: User | None = None,
    variant: Variant | None = None,
    unit: str = "bytes",
    total: int | None = None,
) -> Job:
    """Writes the row, and wakes the jobs process once it is committed.

    `spec` must be JSON; its `name`, if it has one, is that of the variant to be, which nobody else is given meanwhile. `title` names `variant` and no other.
    """
    longest = Job._meta.get_field("title").max_length
    mentions = Mentions(() if variant is None else (variant.pk,))
    with transaction.atomic():
        job = Job.objects.create(
            kind=kind,
            spec=spec,
            kept={KEY: mentions.to_json()},
            title=title[:longest],
            created_by=user,
            variant=variant,
            unit=unit,
            total=total,
        )
        record([job], _id(user), ADDITION, "Begun.")
        if variant is not None:
            record([variant], _id(user), CHANGE, f"Job begun: {job.title}.")
        transaction.on_commit(lambda: wake(job.pk))
    return job


def start_once(
    kind: str, spec: dict[str, Any], title: str, user: User | None, variant: Variant, unit: str = "bytes"
) -> tuple[Job, bool]:
    """Starts a job unless one of that kind is under way for `variant`: then returns that one, and False.

    Of those who ask at the same moment one starts it.
    """
    with transaction.atomic():
        # Whoever comes second waits here. SQLite's transactions come one after the other anyway.
        Variant.objects.select_for_update().filter(pk=variant.pk).first()
        under_way = Job.objects.filter(kind=kind, variant=variant, state__in=Job.ACTIVE).first()
        if under_way is not None:
            return under_way, False
        return start(kind, spec, title, user, variant, unit), True


def pause(job: Job, user: User | None = None) -> bool:
    """A running job stops at its next step; one that waits or is queued is paused at once."""
    return _recorded(job, user, "Paused.", _pause)


def resume(job: Job, user: User | None = None) -> bool:
    """A paused job is queued again, one that waits is not to wait any longer, one about to pause goes on."""
    return _recorded(job, user, "Resumed.", resume_unrecorded)


def cancel(job: Job, user: User | None = None) -> bool:
    """A running job stops at its next step. One that does not run, or failed, is run once more, to tidy up what it left."""
    return _recorded(job, user, "Cancelled.", _cancel)


def retry(job: Job, user: User | None = None) -> bool:
    """A failed or cancelled job starts again, from what it kept."""
    return _recorded(job, user, "Retried.", _retry)


def _recorded(job: Job, user: User | None, message: str, act: Callable[[Job], bool]) -> bool:
    with transaction.atomic():
        if not act(job):
            return False
        record([job], _id(user), CHANGE, message)
        variant = None if job.variant_id is None else Variant.objects.filter(pk=job.variant_id).first()
        if variant is not None:
            record([variant], _id(user), CHANGE, f"{message.removesuffix('.')}: {job.title}.")
    return True


def _id(user: User | None) -> int | None:
    return None if user is None else user.pk


def _pause(job: Job) -> bool:
    rows = Job.objects.filter(pk=job.pk)
    at_once = rows.filter(state__in=(Job.State.QUEUED, Job.State.WAITING)).exclude(wish=Job.Wish.CANCEL)
    if at_once.update(state=Job.State.PAUSED, wish=Job.Wish.PAUSE, run_after=None, reason=""):
        return True
    running = rows.filter(state=Job.State.RUNNING).exclude(wish=Job.Wish.CANCEL)
    return bool(running.update(wish=Job.Wish.PAUSE))


def resume_unrecorded(job: Job) -> bool:
    """Resumes a job where that is no person's doing: the log says nothing of it."""
    rows = Job.objects.filter(pk=job.pk).exclude(wish=Job.Wish.CANCEL)
    changed = rows.filter(state__in=(Job.State.PAUSED, Job.State.WAITING)).update(
        state=Job.State.QUEUED, wish=Job.Wish.RUN, run_after=None, reason=""
    ) or rows.filter(state=Job.State.RUNNING).update(wish=Job.Wish.RUN)
    if changed:
        transaction.on_commit(lambda: wake(job.pk))
    return bool(changed)


def _cancel(job: Job) -> bool:
    rows = Job.objects.filter(pk=job.pk)
    idle = rows.filter(state__in=(Job.State.QUEUED, Job.State.WAITING, Job.State.PAUSED, Job.State.FAILED))
    if idle.update(state=Job.State.QUEUED, wish=Job.Wish.CANCEL, run_after=None, reason="", ended_at=None):
        transaction.on_commit(lambda: wake(job.pk))
        return True
    return bool(rows.filter(state=Job.State.RUNNING).update(wish=Job.Wish.CANCEL))


def _retry(job: Job) -> bool:
    changed = Job.objects.filter(pk=job.pk, state__in=(Job.State.FAILED, Job.State.CANCELLED)).update(
        state=Job.State.QUEUED,
        wish=Job.Wish.RUN,
        reason="",
        attempts=0,
        run_after=None,
        rate_per_second=None,
        ended_at=None,
    )
    if changed:
        transaction.on_commit(lambda: wake(job.pk))
    return bool(changed)


def set_done(job: Job, done: int) -> None:
    """Stores how far a job is whose work others bring while it waits."""
    Job.objects.filter(pk=job.pk, state__in=Job.ACTIVE).update(done=done)


def wake(job_id: int) -> None:
    """Sends the broker's message. One that cannot be sent, or is lost, is sent again by the jobs process's own sweep."""
    try:
        import_string(settings.JOBS_WAKE)(job_id)
    except Exception as error:
        logger.warning(
            "a job's message was not sent", extra={"event": "job_unsent", "job": job_id, "error": str(error)}
        )
