"""`/ws/jobs/`: a backlog, then what changes, to each what is theirs to know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session

from inference.web.feeds.subscribers import MOST_UNSEEN
from inference.web.jobs.feed import job_feed
from models_app.models import Job, JobLine
from tests.web.tab import Tab, session_cookie

Watch = Callable[[User], Coroutine[Any, Any, Tab]]


@pytest_asyncio.fixture
async def watch(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watch]:
    """Opens pages; nobody looks at the rows but the test, by `look`."""
    for pace in ("LOOK_SECONDS", "IDLE_LOOK_SECONDS"):
        monkeypatch.setattr(f"inference.web.jobs.feed.{pace}", 3600.0)
    tabs: list[Tab] = []

    async def open_(user: User) -> Tab:
        tab = await Tab(await session_cookie(user), "/ws/jobs/").connect()
        tabs.append(tab)
        return tab

    yield open_
    for tab in tabs:
        await tab.close()
    assert not job_feed().is_running


@sync_to_async
def make(user: User | None = None, **fields: Any) -> Job:
    return Job.objects.create(kind="download", title="Download tiny", unit="bytes", created_by=user, **fields)


@sync_to_async
def change(job: Job, **fields: Any) -> None:
    Job.objects.filter(pk=job.pk).update(**fields)


@sync_to_async
def say(job: Job, text: str) -> None:
    JobLine.objects.create(job=job, text=text)


async def look() -> None:
    await job_feed().look()


async def test_a_backlog_comes_first_and_then_only_what_changed(watch: Watch, alice: User) -> None:
    one, other = await make(alice), await make(alice)
    tab = await watch(alice)
    backlog = await tab.frame()
    assert backlog["type"] == "backlog"
    assert [row["id"] for row in backlog["jobs"]] == [other.pk, one.pk]
    await look()
    await change(one, state="running", done=5, total=10)
    await look()
    delta = await tab.frame()
    assert [(row["id"], row["state"], row["permille"]) for row in delta["jobs"]] == [(one.pk, "running", 500)]


async def test_the_end_of_a_job_is_told_and_so_is_a_job_that_came_and_went_between_two_looks(
    watch: Watch, alice: User
) -> None:
    job = await make(alice)
    tab = await watch(alice)
    await tab.hear("backlog")
    await look()
    await change(job, state="done")
    short = await make(alice, state="failed", reason="Too quick.")
    await look()
    delta = await tab.frame()
    assert [(row["id"], row["state"]) for row in delta["jobs"]] == [(job.pk, "done"), (short.pk, "failed")]


async def test_a_log_goes_to_whom_it_concerns(watch: Watch, alice: User, bob: User) -> None:
    job = await make(alice, state="waiting", reason="hers")
    theirs, others = await watch(alice), await watch(bob)
    assert (await theirs.hear("backlog"))["jobs"][0]["reason"] == "hers"
    assert (await others.hear("backlog"))["jobs"][0]["reason"] == ""
    await look()
    await say(job, "a line")
    await look()
    assert [line["text"] for line in (await theirs.frame())["lines"]] == ["a line"]
    await change(job, state="running")
    await look()
    heard = await others.frame()
    assert (heard["lines"], heard["jobs"][0]["state"]) == ([], "running")


async def test_no_line_is_missed_between_the_backlog_and_the_first_look(watch: Watch, alice: User) -> None:
    job = await make(alice)
    tab = await watch(alice)
    await tab.hear("backlog")
    await say(job, "at once")
    await look()
    assert [line["text"] for line in (await tab.hear("delta"))["lines"]] == ["at once"]


async def test_a_line_that_is_committed_after_a_later_one_is_told_too(watch: Watch, alice: User) -> None:
    job = await make(alice)
    await say(job, "before")
    tab = await watch(alice)
    await tab.hear("backlog")
    await JobLine.objects.acreate(pk=1003, job=job, text="the third")
    await look()
    assert [line["text"] for line in (await tab.hear("delta"))["lines"]] == ["the third"]
    await JobLine.objects.acreate(pk=1002, job=job, text="the second")
    await look()
    assert [line["text"] for line in (await tab.hear("delta"))["lines"]] == ["the second"]
    await JobLine.objects.acreate(pk=1004, job=job, text="the fourth")
    await look()
    assert [line["text"] for line in (await tab.hear("delta"))["lines"]] == ["the fourth"]


async def test_a_page_that_does_not_keep_up_is_told_everything_when_it_does(watch: Watch, alice: User) -> None:
    job = await make(alice)
    tab = await watch(alice)
    await tab.hear("backlog")
    for done in range(1, MOST_UNSEEN + 5):
        await change(job, done=done, total=100)
        await look()
    for _ in range(MOST_UNSEEN - 1):
        last = await tab.hear("delta")
    assert last["jobs"][0]["permille"] == 10 * (MOST_UNSEEN - 1)
    await tab.say(type="seen")
    assert (await tab.hear("backlog"))["jobs"][0]["permille"] == 10 * (MOST_UNSEEN + 4)


async def test_whoever_logs_out_hears_nothing_more(watch: Watch, alice: User) -> None:
    tab = await watch(alice)
    await tab.hear("backlog")
    await Session.objects.all().adelete()
    await job_feed().check_sessions()
    assert await tab.closed() == 4401


async def test_strangers_hear_nothing(transactional_db: None) -> None:
    tab = await Tab(None, "/ws/jobs/").connect()
    assert await tab.closed() == 4401


async def test_bad_frames_end_the_socket(watch: Watch, alice: User) -> None:
    tab = await watch(alice)
    await tab.hear("backlog")
    await tab.say_text("{")
    assert await tab.closed() == 4400
