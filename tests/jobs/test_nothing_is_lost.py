"""Processes die and messages get lost; jobs do not, and nobody works on one twice at once."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection

from models_app import jobs
from models_app.jobs import Attempt, kinds
from models_app.jobs.mentions import without_mentions
from models_app.jobs.runner import KEPT, RESEND_SECONDS, STALE_SECONDS
from models_app.models import Job
from tests.jobs.conftest import Works


class Killed(BaseException):
    """As `kill -9` is to the process: nothing in it gets to tidy up."""


def die(attempt: Attempt) -> None:
    raise Killed


def left_running(works: Works, box: str = "box") -> Job:
    """A job whose process died in the middle of it."""
    job = works.start()
    works.code = die
    dying = works.process(box)
    with pytest.raises(Killed):
        dying.work(job.pk)
    works.code = None
    job.refresh_from_db()
    assert job.state == Job.State.RUNNING
    return job


def test_a_lost_message_is_sent_again(works: Works) -> None:
    job = works.start()
    process = works.process()
    process.sweep()
    process.sweep()
    assert works.sent == [job.pk], "but not at every look"
    works.later(RESEND_SECONDS)
    process.sweep()
    assert works.sent == [job.pk, job.pk]


def test_only_as_many_messages_are_sent_as_there_is_room_for(works: Works) -> None:
    queued = [works.start() for _ in range(5)]
    jobs.cancel(queued[4])
    works.process().sweep()
    assert works.sent == [queued[0].pk, queued[4].pk]


def test_a_job_that_waits_is_remembered_when_its_time_has_come(works: Works) -> None:
    def code(attempt: Attempt) -> None:
        raise jobs.Wait("The host is away.", 40)

    works.code = code
    job, process = works.start(), works.process()
    process.work(job.pk)
    process.sweep()
    assert works.sent == []
    works.later(40)
    process.sweep()
    assert works.sent == [job.pk]


def test_the_next_process_of_the_box_takes_over_at_once(works: Works) -> None:
    job = left_running(works)
    successor = works.process()
    successor.sweep()
    assert works.sent == [job.pk]
    successor.work(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.DONE


def test_a_job_of_another_box_is_taken_over_when_its_heart_has_stopped(works: Works) -> None:
    job = left_running(works, box="another")
    process = works.process()
    process.sweep()
    assert works.sent == []
    works.later(STALE_SECONDS + 1)
    process.sweep()
    assert works.sent == [job.pk]


def test_what_is_long_done_is_forgotten_and_what_failed_is_not(works: Works) -> None:
    def code(attempt: Attempt) -> None:
        if attempt.spec.get("bad"):
            raise jobs.JobFailed("There is no such file.")

    works.code = code
    done, failed, process = works.start(), works.start(bad=True), works.process()
    process.work(done.pk)
    process.sweep()
    works.later(KEPT.total_seconds() + 1)
    process.sweep()
    assert list(Job.objects.all()) == [failed]


def test_a_job_that_runs_is_left_to_who_runs_it(works: Works) -> None:
    process, other = works.process(), works.process("another")

    def code(attempt: Attempt) -> None:
        works.later(STALE_SECONDS + 1)
        process.sweep()
        other.sweep()
        other.work(attempt.job.pk)

    works.code = code
    job = works.start()
    process.work(job.pk)
    job.refresh_from_db()
    assert (job.state, len(works.attempts)) == (Job.State.DONE, 1)


def test_who_lost_its_claim_stops_writing(works: Works) -> None:
    process, other = works.process(), works.process("another")

    def code(attempt: Attempt) -> None:
        if len(works.attempts) == 2:
            return
        works.later(STALE_SECONDS + 1)  # asleep, as a laptop may be
        other.sweep()
        other.work(attempt.job.pk)
        with pytest.raises(jobs.Lost):
            attempt.keep({"by": "the first"})
        attempt.progress(99)
        raise AssertionError("went on")

    works.code = code
    job = works.start()
    process.work(job.pk)
    job.refresh_from_db()
    assert (job.state, without_mentions(job.kept), job.done) == (Job.State.DONE, {}, 0)


@pytest.mark.django_db(transaction=True)
def test_many_who_want_a_job_at_once_run_it_once(works: Works) -> None:
    job = works.start()
    processes = [works.process(f"box {number}") for number in range(4)]
    gate = threading.Barrier(len(processes))

    def work(process: Any) -> None:
        try:
            gate.wait()
            process.work(job.pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    job.refresh_from_db()
    assert (job.state, len(works.attempts)) == (Job.State.DONE, 1)


def test_no_more_jobs_of_a_kind_run_at_once_than_it_says(works: Works) -> None:
    process = works.process()
    seen: list[int] = []

    def code(attempt: Attempt) -> None:
        process.work(next(job.pk for job in queued if job.pk != attempt.job.pk))
        seen.append(Job.objects.filter(state=Job.State.RUNNING).count())

    works.code = code
    queued = [works.start(), works.start()]
    process.work(queued[0].pk)
    assert seen == [1, 1]
    kinds.register("test", works.run, at_once=2)
    queued = [works.start(), works.start()]
    seen.clear()
    process.work(queued[0].pk)
    assert seen == [2, 1]
