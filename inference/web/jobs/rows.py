"""Words jobs for one reader. First paint and frames of `/ws/jobs/` are made of the same rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Literal, TypedDict

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from inference.core.loads.resident_id import ResidentId
from inference.jobs.stages import LeaseStage, NamedVariant, lease_stage, wait_of
from inference.web.visibility.visibility import Visibility
from inference.wording import names, waits
from models_app.jobs.mentions import Mentions, mentions_of
from models_app.models import Job, JobLine
from models_app.units import format_bytes, format_duration

SOON_SECONDS = 0.5
_UNNAMED_TITLES: Mapping[str, str | Promise] = {
    "verify": gettext_lazy("Verify {name}"),
    "measure": gettext_lazy("Measure {name}"),
    "imatrix": gettext_lazy("Importance matrix of {name}"),
    "requantize": gettext_lazy("Requantize {name}"),
    "download": gettext_lazy("Download {name}"),
    "upload": gettext_lazy("Upload {name}"),
    "import": gettext_lazy("Import {name}"),
}
"""By kind, for who must not learn what the title names."""
_STATES: Mapping[Job.State, str | Promise] = {
    Job.State.QUEUED: gettext_lazy("queued"),
    Job.State.RUNNING: gettext_lazy("running"),
    Job.State.PAUSED: gettext_lazy("paused"),
    Job.State.WAITING: gettext_lazy("waiting"),
    Job.State.DONE: gettext_lazy("done"),
    Job.State.FAILED: gettext_lazy("failed"),
    Job.State.CANCELLED: gettext_lazy("cancelled"),
}


class JobRow(TypedDict):
    """One job, as one person may see it. Everything is words or a number ready to be shown."""

    id: int
    kind: str
    state: str
    is_active: bool
    variant_id: int | None
    title: str
    state_words: str
    facts: str
    """How far it is, how fast, how long it will take; or when it ended. May be empty."""
    reason: str
    by: str
    permille: int | None
    """Done, of 1000; None: unknown."""
    may_pause: bool
    may_resume: bool
    may_cancel: bool
    may_retry: bool
    may_discard: bool
    """Whether there may be something left of it to be removed."""


class LineRow(TypedDict):
    id: int
    job: int
    at: str
    """ISO 8601."""
    level: str
    text: str


class JobBacklog(TypedDict):
    type: Literal["backlog"]
    jobs: list[JobRow]


class JobDelta(TypedDict):
    """Jobs that changed, whole, and lines that were added to jobs whose log this person may read."""

    type: Literal["delta"]
    jobs: list[JobRow]
    lines: list[LineRow]


JobFrame = JobBacklog | JobDelta


def may_act(job: Job, user_id: int, is_staff: bool) -> bool:
    """Whether somebody may steer the job and read its log: whoever started it, and who runs the box."""
    return is_staff or job.created_by_id == user_id


def may_read(job: Job, user_id: int, is_staff: bool, visibility: Visibility) -> bool:
    """Whether somebody may read why it waits or failed, and its log: of who may act, those who may know whom these name."""
    return may_act(job, user_id, is_staff) and _may_know_all(mentions_of(job), visibility)


def _may_know_all(mentions: Mentions, visibility: Visibility) -> bool:
    return visibility.may_name(mentions.title) and visibility.may_name(mentions.others)


def job_row(job: Job, user_id: int, is_staff: bool, now: datetime, visibility: Visibility) -> JobRow:
    """`job.created_by` is fetched. What went wrong, and in which files, is for those who may act; names that are kept from the
    person are left out.
    """
    may, mentions = may_act(job, user_id, is_staff), mentions_of(job)
    cancelling = job.wish == Job.Wish.CANCEL
    state = Job.State(job.state)
    says_why = state in (Job.State.WAITING, Job.State.FAILED) and may_read(job, user_id, is_staff, visibility)
    return {
        "id": job.pk,
        "kind": job.kind,
        "state": state.value,
        "is_active": job.is_active,
        "variant_id": job.variant_id,
        "title": _title(job, mentions, user_id, visibility),
        "state_words": _state_words(job, mentions, visibility),
        "facts": _facts(job, mentions, visibility, now),
        "reason": job.reason if says_why else "",
        "by": "" if job.created_by is None else job.created_by.get_username(),
        "permille": _permille(job),
        "may_pause": may and not cancelling and state in (Job.State.QUEUED, Job.State.RUNNING, Job.State.WAITING),
        "may_resume": may and not cancelling and state in (Job.State.PAUSED, Job.State.WAITING),
        "may_cancel": may and not cancelling and job.is_active,
        "may_retry": may and state in (Job.State.FAILED, Job.State.CANCELLED),
        "may_discard": may and state == Job.State.FAILED,
    }


def line_row(line: JobLine) -> LineRow:
    return {
        "id": line.pk,
        "job": line.job_id,
        "at": line.at.isoformat(timespec="seconds"),
        "level": line.level,
        "text": line.text,
    }


def seconds_left(job: Job) -> float | None:
    """Seconds left at the present rate; None where that cannot be told."""
    if job.state != Job.State.RUNNING or job.total is None or not job.rate_per_second:
        return None
    return max(0.0, (job.total - job.done) / job.rate_per_second)


def _title(job: Job, mentions: Mentions, user_id: int, visibility: Visibility) -> str:
    """Whoever started a job has read its title: that a model is gone meanwhile takes nothing from them."""
    if visibility.may_name(mentions.title):
        return job.title
    if job.created_by_id == user_id and not any(visibility.keeps(each) for each in mentions.title or ()):
        return job.title
    template = str(_UNNAMED_TITLES.get(job.kind) or f"{job.kind.capitalize()} {{name}}")
    return template.format(name=_instead(mentions.title, visibility))


def _instead(variant_ids: Collection[int] | None, visibility: Visibility) -> str:
    if variant_ids is None:
        return _("a model")
    return names.kept() if any(visibility.keeps(each) for each in variant_ids) else names.gone()


def _state_words(job: Job, mentions: Mentions, visibility: Visibility) -> str:
    if job.is_active and job.wish == Job.Wish.CANCEL:
        return _("cancelling")
    if job.state == Job.State.RUNNING and job.wish == Job.Wish.PAUSE:
        return _("pausing")
    if job.state == Job.State.RUNNING:
        lease = lease_stage(mentions.stage)
        if lease is not None:
            return _lease_words(lease, visibility)
        if job.stage and _may_know_all(mentions, visibility):
            return job.stage[0].lower() + job.stage[1:]
    return str(_STATES[Job.State(job.state)])


def _lease_words(stage: LeaseStage, visibility: Visibility) -> str:
    words = _("waiting for {variant}") if stage["kind"] == "waiting" else _("reading with {variant}")
    return words.format(variant=_name(stage["variant"], visibility))


def _name(variant: NamedVariant, visibility: Visibility) -> str:
    return visibility.name(ResidentId(variant["variant_id"]), variant["name"])


def _facts(job: Job, mentions: Mentions, visibility: Visibility, now: datetime) -> str:
    if job.state == Job.State.DONE:
        total = _amount(job, job.total) if job.total and job.unit == Job.Unit.BYTES else ""
        return " · ".join(part for part in (total, _took(job)) if part)
    if not job.is_active:
        return ""
    parts = [_progress(job)]
    if job.state == Job.State.RUNNING:
        lease = lease_stage(mentions.stage)
        wait = None if lease is None else wait_of(lease)
        parts = ["" if wait is None else waits.of(wait, visibility.name), *parts, _rate(job)]
        left = seconds_left(job)
        parts.append("" if left is None else _("{duration} left").format(duration=format_duration(left)))
    elif job.state == Job.State.WAITING and job.run_after is not None:
        wait_seconds = (job.run_after - now).total_seconds()
        parts.append(_again(wait_seconds))
    return " · ".join(part for part in parts if part)


def _again(wait_seconds: float) -> str:
    if wait_seconds <= SOON_SECONDS:
        return _("again any moment")
    return _("again in {duration}").format(duration=format_duration(wait_seconds))


def _progress(job: Job) -> str:
    if job.total:
        done = format_bytes(job.done) if job.unit == Job.Unit.BYTES else str(job.done)
        return _("{done} of {total}").format(done=done, total=_amount(job, job.total))
    return _amount(job, job.done) if job.done else ""


def _amount(job: Job, n: int) -> str:
    match job.unit:
        case Job.Unit.BYTES:
            return format_bytes(n)
        case Job.Unit.TENSORS:
            return ngettext("{n} tensor", "{n} tensors", n).format(n=n)
        case Job.Unit.TOKENS:
            return ngettext("{n} token", "{n} tokens", n).format(n=n)
        case Job.Unit.CHUNKS:
            return ngettext("{n} part", "{n} parts", n).format(n=n)
    return str(n)


def _rate(job: Job) -> str:
    rate = job.rate_per_second
    if not rate:
        return ""
    match job.unit:
        case Job.Unit.BYTES:
            return f"{format_bytes(int(rate))}/s"
        case _other if rate < 0.5:
            return _("{duration} each").format(duration=format_duration(1 / rate))
        case Job.Unit.TENSORS:
            words = _("{rate} tensors/s")
        case Job.Unit.TOKENS:
            words = _("{rate} tokens/s")
        case Job.Unit.CHUNKS:
            words = _("{rate} parts/s")
        case _nothing:
            return ""
    return words.format(rate=f"{rate:.3g}")


def _took(job: Job) -> str:
    if job.started_at is None or job.ended_at is None:
        return ""
    return _("took {duration}").format(duration=format_duration((job.ended_at - job.started_at).total_seconds()))


def _permille(job: Job) -> int | None:
    if job.state == Job.State.DONE:
        return 1000
    return min(1000, job.done * 1000 // job.total) if job.total else None
