"""Whoever may not use a variant learns from its jobs that something is done, and never to what: not from what a job once said either."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.reasons import Reason
from inference.jobs.stages import READING, WAITING, reading, waiting
from inference.web.jobs.feed import job_feed
from inference.web.jobs.rows import job_row, may_read
from inference.web.visibility.queries import visibility_for
from models_app import jobs
from models_app.jobs import Attempt, kinds
from models_app.jobs.mentions import KEY
from models_app.jobs.runner import Runner
from models_app.models import Job, JobLine, Variant
from tests.web.fake_host import FakeHost, queued
from tests.web.tab import Tab, session_cookie

JSON = {"HTTP_ACCEPT": "application/json"}


@pytest.fixture
def members(variant: Variant) -> Group:
    return Group.objects.create(name="grown-ups")


@pytest.fixture
def kept(variant: Variant, members: Group, settings: Any) -> Variant:
    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    kept = Variant.objects.create(repository=variant.repository, name="secret-7B-Q4_K_M", size_bytes=1)
    kept.groups.set([members])
    return kept


@pytest.fixture
def staff(bob: User) -> User:
    bob.is_staff = True
    bob.save()
    return bob


def told(user: User, job: Job) -> str:
    """All that a person is shown of the job, as a page and as JSON."""
    client = Client()
    client.force_login(user)
    pages = [client.get(reverse("jobs")), client.get(reverse("job", args=[job.pk]))]
    pages.append(client.get(reverse("job", args=[job.pk]), **JSON))
    return "\n".join(page.content.decode() for page in pages)


def run(kind: str, code: Any, job: Job) -> Job:
    """One attempt, whose code is `code`."""
    was = kinds.kind_named(kind)
    jobs.register(kind, code)
    try:
        Runner("box", send=lambda _: None).work(job.pk)
    finally:
        kinds.forget(kind)
        if was is not None:
            jobs.register(was.name, was.run, was.at_once, was.discard)
    job.refresh_from_db()
    return job


def row(user: User, job: Job) -> Any:
    now = job.created_at
    found = Job.objects.select_related("created_by").get(pk=job.pk)
    return job_row(found, user.pk, user.is_staff, now, visibility_for(user))


def readable(user: User, job: Job) -> bool:
    return may_read(Job.objects.get(pk=job.pk), user.pk, user.is_staff, visibility_for(user))


# the title --------------------------------------------------------------------------------------------------------


def test_an_earlier_name_in_the_title_is_not_told(alice: User, staff: User, kept: Variant) -> None:
    job = jobs.start("verify", {"variant": kept.pk}, f"Verify {kept.name}", staff, kept)
    Variant.objects.filter(pk=kept.pk).update(name="another")
    page = told(alice, job)
    assert "Verify a model kept for others" in page
    assert "secret" not in page
    assert "another" not in page
    assert "Verify secret-7B-Q4_K_M" in told(staff, job)


def test_a_deleted_one_is_not_named(alice: User, staff: User, kept: Variant) -> None:
    job = jobs.start("measure", {"variant_id": kept.pk}, f"Measure {kept.name}", staff, kept)
    Job.objects.filter(pk=job.pk).update(state=Job.State.DONE)
    kept.delete()
    page = told(alice, job)
    assert "Measure a model that is gone" in page
    assert "secret" not in page
    assert "Measure secret-7B-Q4_K_M" in told(staff, job)


def test_one_that_a_job_made_is_not_named_after_its_deletion(alice: User, staff: User, kept: Variant) -> None:
    def code(attempt: Attempt) -> None:
        attempt.made(kept)
        attempt.line(f"Added as {kept.name}.")

    job = jobs.start("download", {"name": kept.name}, f"Download {kept.name} from somebody/secret", staff)
    assert "Download secret-7B-Q4_K_M" in told(alice, job), "it is nobody's in particular before it is there"
    job = run("download", code, job)
    assert job.state == Job.State.DONE
    assert "Download a model kept for others" in told(alice, job)
    kept.delete()
    page = told(alice, job)
    assert "Download a model that is gone" in page
    assert "secret" not in page


def test_whoever_started_it_still_reads_its_title_when_the_model_is_gone(
    alice: User, staff: User, kept: Variant, members: Group
) -> None:
    alice.groups.add(members)
    job = jobs.start("verify", {"variant": kept.pk}, f"Verify {kept.name}", alice, kept)
    assert row(alice, job)["title"] == "Verify secret-7B-Q4_K_M"
    alice.groups.clear()
    assert row(alice, job)["title"] == "Verify a model kept for others"
    kept.delete()
    assert row(alice, job)["title"] == "Verify secret-7B-Q4_K_M"
    assert not readable(alice, job), "whom its log names is not known any more"


# rows of earlier versions -----------------------------------------------------------------------------------------


def old(kind: str, title: str, **fields: Any) -> Job:
    job = Job.objects.create(kind=kind, title=title, **fields)
    assert KEY not in job.kept
    return job


@pytest.mark.parametrize(("kind", "key"), [("verify", "variant"), ("measure", "variant_id"), ("imatrix", "variant_id")])
def test_the_spec_of_an_old_row_tells_whom_it_names(
    alice: User, staff: User, kept: Variant, kind: str, key: str
) -> None:
    job = old(kind, "Do it to secret-7B", spec={key: kept.pk}, created_by=staff, variant=kept)
    Variant.objects.filter(pk=kept.pk).update(name="another")
    assert "secret" not in told(alice, job)
    kept.delete()
    assert "secret" not in told(alice, job)


@pytest.mark.parametrize("kind", ["download", "upload", "import"])
def test_an_old_row_that_made_what_is_gone_does_not_name_it(alice: User, staff: User, kept: Variant, kind: str) -> None:
    job = old(kind, "Bring secret-7B", created_by=staff, variant=kept, state=Job.State.DONE)
    assert "secret" not in told(alice, job)
    kept.delete()
    page = told(alice, job)
    assert f"{kind.capitalize()} a model" in page
    assert "secret" not in page


def test_a_sentence_that_an_old_row_keeps_of_its_wait_is_for_staff(alice: User, staff: User, variant: Variant) -> None:
    stage = "Waiting for smol: Waiting for secret-7B to make room. You are next."
    job = old(
        "measure", "Measure smol", spec={"variant_id": variant.pk}, variant=variant, stage=stage, created_by=alice
    )
    Job.objects.filter(pk=job.pk).update(state=Job.State.RUNNING)
    JobLine.objects.create(job=job, text="Compared with secret-7B, the best of its siblings here.")
    page = told(alice, job)
    assert "Measure smol" in page
    assert "secret" not in page
    assert "secret-7B to make room" in row(staff, job)["state_words"]


# what it waits for ------------------------------------------------------------------------------------------------


def test_what_waits_for_a_kept_one_does_not_say_for_whom(
    alice: User, staff: User, variant: Variant, kept: Variant
) -> None:
    seen: list[tuple[Any, Any]] = []

    def code(attempt: Attempt) -> None:
        attempt.progress(0, 6, WAITING, waiting(kept))
        seen.append((row(alice, attempt.job), row(staff, attempt.job)))
        wait: Any = queued(1, Reason("room", (ResidentId(kept.pk), ResidentId(variant.pk))))
        attempt.progress(0, 6, WAITING, waiting(kept, wait))
        seen.append((row(alice, attempt.job), row(staff, attempt.job)))
        attempt.progress(1, 6, READING, reading(kept))
        seen.append((row(alice, attempt.job), row(staff, attempt.job)))

    run("measure", code, jobs.start("measure", {"variant_id": kept.pk}, "Measure it", staff, kept))
    theirs, ours = zip(*seen, strict=True)
    assert [each["state_words"] for each in theirs] == [
        "waiting for a model kept for others",
        "waiting for a model kept for others",
        "reading with a model kept for others",
    ]
    assert theirs[1]["facts"].startswith("Waiting for a model kept for others and smol to make room. You are next.")
    assert [each["state_words"] for each in ours] == [
        "waiting for secret-7B-Q4_K_M",
        "waiting for secret-7B-Q4_K_M",
        "reading with secret-7B-Q4_K_M",
    ]
    assert ours[1]["facts"].startswith("Waiting for secret-7B-Q4_K_M and smol to make room. You are next.")


def test_the_names_of_its_files_are_as_unsaid_as_its_own(alice: User, staff: User, kept: Variant) -> None:
    seen: list[Any] = []

    def code(attempt: Attempt) -> None:
        attempt.progress(0, 6, f"Reading {kept.name}.gguf")
        seen.extend((row(alice, attempt.job), row(staff, attempt.job)))

    run("verify", code, jobs.start("verify", {"variant": kept.pk}, "Verify it", staff, kept))
    assert [each["state_words"] for each in seen] == ["running", "reading secret-7B-Q4_K_M.gguf"]


# the log ----------------------------------------------------------------------------------------------------------


def test_a_log_that_names_another_is_for_those_who_may_know_that_one_too(
    alice: User, staff: User, variant: Variant, kept: Variant, members: Group
) -> None:
    def code(attempt: Attempt) -> None:
        attempt.line("It begins.")
        assert readable(alice, attempt.job)
        attempt.mention(kept.pk)
        attempt.line(f"Compared with {kept.name}.")
        raise jobs.JobFailed(f"There {kept.name} is pinned.")

    job = run("measure", code, jobs.start("measure", {"variant_id": variant.pk}, "Measure smol", alice, variant))
    assert job.state == Job.State.FAILED
    page = told(alice, job)
    assert "Measure smol" in page
    assert "names a model that you may not use" in page
    assert "secret" not in page
    assert "There secret-7B-Q4_K_M is pinned." in told(staff, job)
    alice.groups.add(members)
    assert "There secret-7B-Q4_K_M is pinned." in told(alice, job)


async def test_its_lines_are_not_sent_to_a_page_either(
    host: FakeHost, alice: User, variant: Variant, kept: Variant, members: Group
) -> None:
    start = sync_to_async(jobs.start)
    job = await start("verify", {"variant": kept.pk}, "Verify it", alice, kept)
    other = await start("verify", {"variant": variant.pk}, "Verify smol", alice, variant)
    tab = await Tab(await session_cookie(alice), "/ws/jobs/").connect()
    try:
        await tab.hear("backlog")
        await JobLine.objects.acreate(job=job, text="secret-7B-Q4_K_M.gguf could not be read.")
        await JobLine.objects.acreate(job=other, text="smol.gguf could not be read.")
        await job_feed().look()
        assert [line["text"] for line in (await tab.hear("delta"))["lines"]] == ["smol.gguf could not be read."]
    finally:
        await tab.close()


async def test_a_model_that_came_a_moment_ago_is_not_told_as_one_that_is_gone(
    host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await Tab(await session_cookie(alice), "/ws/jobs/").connect()
    try:
        await tab.hear("backlog")
        new = await Variant.objects.acreate(repository_id=variant.repository_id, name="new", size_bytes=1)
        await Job.objects.acreate(kind="verify", title="Verify new", variant=new)
        await job_feed().look()
        await job_feed().look()
        assert [row["title"] for row in (await tab.frame())["jobs"]] == ["Verify new"]
    finally:
        await tab.close()
