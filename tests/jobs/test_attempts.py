"""A job's life: how attempts end, and what people may do to it meanwhile."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from models_app import jobs
from models_app.jobs import Attempt, backoff
from models_app.models import Job
from tests.jobs.conftest import Works


def fresh(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


def log(job: Job) -> list[str]:
    return [line.text for line in job.lines.all()]


def test_a_job_is_done_once(works: Works) -> None:
    job = works.start(what="that")
    works.process().work(job.pk)
    works.process().work(job.pk)
    done = fresh(job)
    assert (done.state, done.ended_at, done.claimed_by) == (Job.State.DONE, works.now, "")
    assert len(works.attempts) == 1
    assert log(job) == ["Done."]


def test_what_an_attempt_kept_is_handed_to_the_next(works: Works) -> None:
    def code(attempt: Attempt) -> None:
        if not attempt.kept:
            attempt.keep({"came": 7})
            raise jobs.Wait("The disk is full.", 60)

    works.code = code
    job, process = works.start(), works.process()
    process.work(job.pk)
    assert (fresh(job).state, fresh(job).reason) == (Job.State.WAITING, "The disk is full.")
    process.work(job.pk)
    assert len(works.attempts) == 1, "not before its time"
    works.later(60)
    process.work(job.pk)
    assert works.attempts == [{}, {"came": 7}]
    assert (fresh(job).state, fresh(job).reason) == (Job.State.DONE, "")


def test_attempts_that_fail_are_repeated_later_and_later_and_then_given_up(works: Works) -> None:
    def code(attempt: Attempt) -> None:
        raise jobs.Retry("The server hung up.")

    works.code = code
    job, process = works.start(), works.process()
    waits = []
    while True:
        process.work(job.pk)
        now = fresh(job)
        if now.state == Job.State.FAILED:
            break
        assert now.run_after is not None
        waits.append((now.run_after - works.now).total_seconds())
        works.now = now.run_after
    assert len(works.attempts) == backoff.MOST_ATTEMPTS
    assert all(0.5 * 2**n <= wait / backoff.FIRST_SECONDS <= 2**n for n, wait in enumerate(waits[:7]))
    assert now.reason == f"The server hung up. Given up after {backoff.MOST_ATTEMPTS} attempts; try again later."


def test_what_no_database_takes_is_left_out_of_what_is_said(works: Works) -> None:
    hostile = "\0nothing\udcff"

    def code(attempt: Attempt) -> None:
        attempt.progress(1, stage=f"Stage {hostile}")
        attempt.line(f"Line {hostile}")
        raise jobs.JobFailed(f"Reason {hostile}")

    works.code = code
    job = works.start()
    works.process().work(job.pk)
    failed = fresh(job)
    assert (failed.state, failed.stage, failed.reason) == (Job.State.FAILED, "Stage nothing?", "Reason nothing?")
    assert log(job) == ["Line nothing?", "Reason nothing?"]


def test_an_attempt_that_got_further_counts_as_the_first(works: Works) -> None:
    def code(attempt: Attempt) -> None:
        attempt.progress(attempt.job.done + 1)
        raise jobs.Retry("The server hung up.")

    works.code = code
    job, process = works.start(), works.process()
    for number in range(1, 30):
        process.work(job.pk)
        assert (fresh(job).attempts, fresh(job).done) == (1, number)
        works.later(backoff.FIRST_SECONDS)


def test_a_server_that_names_its_time_is_not_asked_before(works: Works) -> None:
    def code(attempt: Attempt) -> None:
        raise jobs.Retry("Too many requests.", after_seconds=90)

    works.code = code
    job = works.start()
    works.process().work(job.pk)
    after = fresh(job).run_after
    assert after is not None
    assert (after - works.now).total_seconds() == 90


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), OSError(5, "Input/output error")])
def test_code_that_breaks_fails_its_job_and_no_other(works: Works, error: Exception) -> None:
    def code(attempt: Attempt) -> None:
        if attempt.spec["bad"]:
            raise error

    works.code = code
    bad, good = works.start(bad=True), works.start(bad=False)
    works.process().work(bad.pk)
    assert fresh(bad).state == Job.State.FAILED
    assert type(error).__name__ in fresh(bad).reason
    assert fresh(good).state == Job.State.DONE


def test_a_database_that_fails_is_no_reason_to_fail(works: Works) -> None:
    def code(attempt: Attempt) -> None:
        if len(works.attempts) == 1:
            raise OperationalError("database is locked")

    works.code = code
    job, process = works.start(), works.process()
    process.work(job.pk)
    assert fresh(job).state == Job.State.WAITING
    works.later(backoff.FIRST_SECONDS)
    process.work(job.pk)
    assert fresh(job).state == Job.State.DONE


def test_a_running_job_stops_at_its_next_step_when_paused(works: Works) -> None:
    def code(attempt: Attempt) -> None:
        attempt.progress(5, total=10, stage="working")
        if len(works.attempts) == 1:
            assert jobs.pause(attempt.job)
            attempt.progress(6, stage="a new stage is written at once")
            raise AssertionError("went on")

    works.code = code
    job, process = works.start(), works.process()
    process.work(job.pk)
    paused = fresh(job)
    assert (paused.state, paused.done, paused.total, paused.attempts) == (Job.State.PAUSED, 6, 10, 0)
    process.work(job.pk)
    assert len(works.attempts) == 1
    assert jobs.resume(job)
    process.work(job.pk)
    assert fresh(job).state == Job.State.DONE


def test_a_cancelled_job_is_tidied_up_whether_it_runs_or_not(works: Works) -> None:
    def code(attempt: Attempt) -> None:
        jobs.cancel(attempt.job)
        attempt.progress(1, stage="next")

    works.code = code
    process = works.process()
    attempt, queued = works.start(), works.start()
    assert jobs.cancel(queued)
    process.work(attempt.pk)
    assert works.discarded == [attempt.pk, queued.pk]
    assert len(works.attempts) == 1, "one that never ran is not run to be cancelled"
    assert {fresh(attempt).state, fresh(queued).state} == {Job.State.CANCELLED}


def test_a_job_about_to_be_cancelled_is_neither_paused_nor_resumed(works: Works) -> None:
    job = works.start()
    assert jobs.cancel(job)
    assert not jobs.pause(job)
    assert not jobs.resume(job)
    works.process().work(job.pk)
    assert fresh(job).state == Job.State.CANCELLED


def test_what_has_failed_can_be_tried_again(works: Works) -> None:
    def code(attempt: Attempt) -> None:
        if len(works.attempts) == 1:
            raise jobs.JobFailed("There is no such file.")

    works.code = code
    job, process = works.start(), works.process()
    process.work(job.pk)
    assert not any(act(job) for act in (jobs.pause, jobs.resume))
    assert jobs.retry(job)
    assert not jobs.retry(job), "once"
    process.work(job.pk)
    assert (fresh(job).state, fresh(job).reason) == (Job.State.DONE, "")
    assert log(job) == ["There is no such file.", "Done."]


def test_what_has_failed_can_be_given_up_and_is_then_tidied_up(works: Works) -> None:
    def code(attempt: Attempt) -> None:
        raise jobs.JobFailed("There is no such file.")

    works.code = code
    job, process = works.start(), works.process()
    process.work(job.pk)
    assert jobs.cancel(job)
    process.work(job.pk)
    assert (fresh(job).state, works.discarded) == (Job.State.CANCELLED, [job.pk])
    assert not jobs.cancel(job)


def test_what_is_done_stays_done(works: Works) -> None:
    job = works.start()
    works.process().work(job.pk)
    assert not any(act(job) for act in (jobs.pause, jobs.resume, jobs.cancel, jobs.retry))


def test_a_kind_that_nobody_knows_fails_in_words(works: Works) -> None:
    job = jobs.start("from the future", {}, "A test")
    works.process().work(job.pk)
    assert fresh(job).reason == "This version of hostui has no jobs of the kind from the future."


def test_the_process_that_ends_leaves_the_job_to_its_successor(works: Works) -> None:
    process = works.process()

    def code(attempt: Attempt) -> None:
        if len(works.attempts) == 1:
            process.stopping.set()
            attempt.progress(3)
            raise AssertionError("went on")

    works.code = code
    job, other = works.start(), works.start()
    process.work(job.pk)
    assert (fresh(job).state, fresh(job).done) == (Job.State.QUEUED, 3)
    assert fresh(other).state == Job.State.QUEUED, "nothing new is begun"
    works.process().work(job.pk)
    assert {fresh(job).state, fresh(other).state} == {Job.State.DONE}
