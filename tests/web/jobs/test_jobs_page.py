"""`/jobs/` without its script: what people see of jobs, and what they may do to them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.reasons import Reason
from inference.jobs.stages import WAITING, waiting
from inference.web.jobs.rows import job_row
from inference.web.visibility.visibility import Visibility
from models_app import jobs
from models_app.jobs.heartbeat import JOBS_HEARTBEAT
from models_app.jobs.mentions import KEY, Mentions
from models_app.models import Job, JobLine, Variant
from tests.web.fake_host import queued

JSON = {"HTTP_ACCEPT": "application/json"}
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def staff(alice: User) -> User:
    alice.is_staff = True
    alice.save()
    return alice


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def make(user: User | None, **fields: Any) -> Job:
    return Job.objects.create(kind="download", title="Download tiny", unit="bytes", created_by=user, **fields)


def test_an_empty_page_says_what_would_be_there(alice: User) -> None:
    assert "No jobs yet." in signed_in(alice).get("/jobs/").content.decode()


def test_nobody_sees_jobs_without_signing_in(db: None) -> None:
    assert Client().get("/jobs/").status_code == 302


def test_who_started_a_job_steers_it(bob: User) -> None:
    job = make(bob)
    client = signed_in(bob)
    assert client.post(f"/jobs/{job.pk}/", {"action": "pause"}, **JSON).json() == {}
    job.refresh_from_db()
    assert job.state == Job.State.PAUSED
    assert client.post(f"/jobs/{job.pk}/", {"action": "retry"}, **JSON).status_code == 409
    assert client.post(f"/jobs/{job.pk}/", {"action": "explode"}, **JSON).status_code == 400
    assert client.post(f"/jobs/{job.pk}/", {"action": "resume"}).headers["Location"] == f"/jobs/{job.pk}/"
    assert client.post("/jobs/999/", {"action": "resume"}, **JSON).status_code == 404


def test_others_see_that_it_runs_but_not_its_log_nor_its_reason(alice: User, bob: User) -> None:
    job = make(alice, state=Job.State.FAILED, reason="The token of this box does not allow this.")
    JobLine.objects.create(job=job, text="secret log")
    client = signed_in(bob)
    for page in ("/jobs/", f"/jobs/{job.pk}/"):
        text = client.get(page).content.decode()
        assert "Download tiny" in text
        assert "does not allow this" not in text
        assert "secret log" not in text
    assert client.get(f"/jobs/{job.pk}/", **JSON).json() == {"lines": []}
    assert client.post(f"/jobs/{job.pk}/", {"action": "retry"}, **JSON).status_code == 403


def test_staff_see_and_steer_everything(staff: User, bob: User) -> None:
    job = make(bob, state=Job.State.FAILED, reason="No such file.")
    JobLine.objects.create(job=job, text="what happened")
    client = signed_in(staff)
    text = client.get(f"/jobs/{job.pk}/").content.decode()
    assert "No such file." in text
    assert "what happened" in text
    assert client.post(f"/jobs/{job.pk}/", {"action": "retry"}, **JSON).json() == {}


def test_the_list_takes_a_fixed_number_of_queries(staff: User, django_assert_max_num_queries: Any) -> None:
    for number in range(60):
        make(staff, state=Job.State.DONE if number % 2 else Job.State.QUEUED, ended_at=NOW)
    client = signed_in(staff)
    with django_assert_max_num_queries(6):
        client.get("/jobs/")


SEES_ALL = Visibility(frozenset({(7, "a-model")}), is_all=True)


def words(**fields: Any) -> tuple[str, str]:
    row = job_row(Job(kind="download", title="x", unit=fields.pop("unit", "bytes"), **fields), 1, True, NOW, SEES_ALL)
    return row["state_words"], row["facts"]


def test_a_running_job_says_how_far_it_is_how_fast_and_how_long_still() -> None:
    running = {"state": "running", "done": 512 << 20, "total": 1 << 30, "rate_per_second": 16 << 20}
    assert words(**running, stage="Downloading") == ("downloading", "512 MiB of 1 GiB · 16.0 MiB/s · 32 s left")
    a_model = Variant(pk=7, name="a-model")
    about = waiting(a_model, queued(1, Reason("slots", (ResidentId(7),))))  # type: ignore[arg-type]
    kept = {KEY: Mentions(stage=about).to_json()}
    assert words(state="running", stage=WAITING, kept=kept) == (
        "waiting for a-model",
        "All slots of a-model are busy. You are next.",
    )
    assert words(state="running", done=7, unit="tensors") == ("running", "7 tensors")
    slow = {"state": "running", "done": 3, "total": 6, "unit": "chunks", "rate_per_second": 0.05}
    assert words(**slow) == ("running", "3 of 6 parts · 20 s each · 60 s left")


def test_a_job_that_waits_says_for_how_long() -> None:
    later = NOW + timedelta(minutes=5)
    assert words(state="waiting", total=1 << 30, run_after=later) == ("waiting", "0 bytes of 1 GiB · again in 5 min")
    assert words(state="waiting", run_after=NOW)[1] == "again any moment"


def test_a_wish_is_shown_before_it_is_obeyed() -> None:
    assert words(state="running", wish="pause")[0] == "pausing"
    assert words(state="queued", wish="cancel")[0] == "cancelling"


def test_what_ended_says_how_long_it_took() -> None:
    times = {"started_at": NOW, "ended_at": NOW + timedelta(seconds=30)}
    assert words(state="done", done=1 << 20, total=1 << 20, **times) == ("done", "1 MiB · took 30 s")
    assert words(state="failed", **times) == ("failed", "")


def test_who_steered_it_stands_on_its_page(staff: User, bob: User, settings: Any) -> None:
    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    job = jobs.start("test", {}, "Do it", bob)
    signed_in(staff).post(f"/jobs/{job.pk}/", {"action": "pause"})
    page = " ".join(signed_in(bob).get(f"/jobs/{job.pk}/").content.decode().split())
    assert re.search(rf"Paused\.</span> <span class=\"soft\">{staff.username},", page)
    assert re.search(r"Begun\.</span> <span class=\"soft\">bob,", page)
    assert "Who did what" not in signed_in(User.objects.create_user("carol")).get(f"/jobs/{job.pk}/").content.decode()


@pytest.mark.parametrize(
    ("redis_url", "told"), [(None, "make serve</code> starts it again"), ("redis://box", "HOSTUI_REDIS_URL")]
)
def test_the_page_says_why_nothing_gets_on(alice: User, settings: Any, redis_url: str | None, told: str) -> None:
    settings.REDIS_URL = redis_url
    job = make(alice)
    JOBS_HEARTBEAT.unlink(missing_ok=True)
    assert told in signed_in(alice).get("/jobs/").content.decode()
    JOBS_HEARTBEAT.touch()
    try:
        assert "does not answer" not in signed_in(alice).get("/jobs/").content.decode()
        JOBS_HEARTBEAT.unlink()
        Job.objects.filter(pk=job.pk).update(state=Job.State.DONE)
        assert "does not answer" not in signed_in(alice).get("/jobs/").content.decode()
    finally:
        JOBS_HEARTBEAT.unlink(missing_ok=True)
