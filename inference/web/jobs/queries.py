"""What pages and the feed read of jobs, and who acts on them. Every function crosses into one database thread."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import NamedTuple

from django.contrib.auth.models import User
from django.db.models import Count, Q, Sum
from django.utils import timezone

from inference.web.crossing.database_thread import DatabaseThread
from inference.web.jobs.line_tail import LATE_SECONDS
from inference.web.jobs.rows import JobRow, job_row, may_act
from inference.web.visibility.queries import visibility_for
from models_app import jobs
from models_app.jobs import kinds
from models_app.models import Job, JobLine

RECENT = 20
MOST_LINES = 500

_reading = DatabaseThread("jobs feed")

_ACTIONS = {"pause": jobs.pause, "resume": jobs.resume, "cancel": jobs.cancel, "retry": jobs.retry}


class JobChanges(NamedTuple):
    """What a look at the rows found: jobs that may have changed, oldest first, and lines that were added."""

    jobs: list[Job]
    lines: list[JobLine]
    speakers: dict[int, Job]
    """The jobs of `lines`, by id."""


def recent_jobs(most_ended: int = RECENT, variant_id: int | None = None) -> list[Job]:
    """All that are active, newest first, then the last that ended. Blocks."""
    rows = Job.objects.select_related("created_by").order_by("-pk")
    if variant_id is not None:
        rows = rows.filter(variant=variant_id)
    ended = rows.filter(state__in=Job.ENDED).order_by("-ended_at")[:most_ended]
    return [*rows.filter(state__in=Job.ACTIVE), *ended]


def job_rows(user: User, most_ended: int = RECENT, variant_id: int | None = None) -> list[JobRow]:
    """Shows `recent_jobs` for a first paint. Blocks."""
    now, visibility = timezone.now(), visibility_for(user)
    return [job_row(job, user.pk, user.is_staff, now, visibility) for job in recent_jobs(most_ended, variant_id)]


backlog = _reading(recent_jobs)


@_reading
def last_lines() -> tuple[int, list[int]]:
    """The newest line that is older than LATE_SECONDS (0: none), and those after it."""
    late = timezone.now() - timedelta(seconds=LATE_SECONDS)
    after = JobLine.objects.filter(at__lt=late).order_by("-pk").values_list("pk", flat=True).first() or 0
    return after, list(JobLine.objects.filter(pk__gt=after).values_list("pk", flat=True))


@_reading
def changes(known_active: Collection[int], last_job: int, after_line: int, told_lines: Collection[int]) -> JobChanges:
    """Jobs that are active, were so at the last look (`known_active`) or are newer than `last_job`; lines after `after_line` but
    for `told_lines`.
    """
    wanted = Q(state__in=Job.ACTIVE) | Q(pk__in=list(known_active)) | Q(pk__gt=last_job)
    found = list(Job.objects.select_related("created_by").filter(wanted).order_by("pk"))
    new = JobLine.objects.filter(pk__gt=after_line).exclude(pk__in=list(told_lines))
    lines = list(new.order_by("pk")[:MOST_LINES])
    return JobChanges(found, lines, Job.objects.in_bulk({line.job_id for line in lines}))


class JobCount(NamedTuple):
    kind: str
    state: str
    n: int
    done_bytes: int | None
    """Of those that count in bytes; None: none does."""


@_reading
def counts() -> list[JobCount]:
    """Counts all jobs by kind and state in one query, with a zero where none of a kind is."""
    in_bytes = Sum("done", filter=Q(unit=Job.Unit.BYTES))
    rows = Job.objects.order_by().values_list("kind", "state").annotate(n=Count("pk"), done_bytes=in_bytes)
    found = {(kind, state): JobCount(kind, state, n, done_bytes) for kind, state, n, done_bytes in rows}
    every = {(kind, str(state)) for kind in kinds.names() for state in Job.State.values}
    return [found.get((kind, state)) or JobCount(kind, state, 0, None) for kind, state in sorted(every | set(found))]


@_reading
def staff_among(user_ids: Collection[int]) -> set[int]:
    return set(User.objects.filter(pk__in=list(user_ids), is_staff=True).values_list("pk", flat=True))


class NotAllowed(Exception):
    pass


def act(job_id: int, action: str, user: User) -> bool | None:
    """Whether the job's state allowed it; None for an action that there is not. Blocks. Raises Job.DoesNotExist, NotAllowed."""
    job = Job.objects.get(pk=job_id)
    if not may_act(job, user.pk, user.is_staff):
        raise NotAllowed
    do = _ACTIONS.get(action)
    return None if do is None else do(job, user)
