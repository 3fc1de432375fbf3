"""Many variants at once, from the admin: through the same host, the same deletion and the same log as the pages."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.test import AsyncClient, Client
from django.urls import reverse

from inference.core.scheduling.refusals import DoesNotFit
from inference.web.crossing import background_host
from models_app import jobs
from models_app.catalog.register import add_model
from models_app.hardware.profile import GIB
from models_app.models import HardwareProfile, Job, JobLine, Variant
from tests.gguf_builder import SHAPES, build
from tests.web import fake_host
from tests.web.fake_host import FakeHost, resident
from tests.web.pages import text_of

LIST = "/admin/models_app/variant/"


@pytest.fixture
def root(transactional_db: None) -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def two(tmp_path: Path, settings: Any, transactional_db: None) -> list[Variant]:
    settings.MODELS_DIR = tmp_path
    HardwareProfile.objects.create(name="this machine", is_this_machine=True, ram_bytes=64 * GIB, n_cores=8)
    return [
        add_model(build(tmp_path / f"{name}.gguf", SHAPES["tiny-gqa"]), name=name).variant for name in ("one", "two")
    ]


async def administrator(root: User) -> AsyncClient:
    client = AsyncClient()
    await client.aforce_login(root)
    return client


def chosen(action: str, variants: list[Variant], **fields: Any) -> dict[str, Any]:
    return {"action": action, "_selected_action": [each.pk for each in variants], **fields}


async def log_of(variant: Variant) -> list[str]:
    return [entry.change_message async for entry in LogEntry.objects.filter(object_id=str(variant.pk)).order_by("pk")]


async def test_the_list_tells_state_residency_and_plan(host: FakeHost, root: User, two: list[Variant]) -> None:
    await Variant.objects.filter(name="two").aupdate(problem="cut short")
    host.residents = [resident(two[0].pk, "one", state="loading")]
    client = await administrator(root)
    told = text_of(await client.get(LIST))
    assert "loading" in told
    assert "on disk" in told
    assert "files broken" in told
    told = text_of(await client.get(LIST))  # one plan is worked out whatever it takes, so both are known by now
    assert re.search(r"fits in RAM [\d.]+ \w+ [\d,.]+ tokens/s", told)
    change = reverse("admin:models_app_variant_change", args=[two[1].pk])
    assert "Its files cannot be loaded: cut short." in text_of(await client.get(change))
    for value, expected in (("memory", ["one"]), ("disk", ["two"]), ("failed", [])):
        rows = (await client.get(LIST, {"residency": value})).context["cl"].result_list
        assert [row.name for row in rows] == expected


async def test_variants_are_found_by_their_jobs(host: FakeHost, root: User, two: list[Variant]) -> None:
    await Job.objects.acreate(kind="verify", title="Verify one", variant=two[0], state=Job.State.WAITING)
    await Job.objects.acreate(kind="verify", title="Verify two", variant=two[1], state=Job.State.FAILED)
    client = await administrator(root)
    for value, expected in (("active", ["one"]), ("waiting", ["one"]), ("failed", ["two"]), ("done", [])):
        rows = (await client.get(LIST, {"job": value})).context["cl"].result_list
        assert [row.name for row in rows] == expected
    assert "1 not ended" in text_of(await client.get(LIST))


@pytest.mark.parametrize(
    ("action", "asked", "noted"),
    [
        ("load", {"type": "load", "anyway": False}, "Loaded."),
        ("unload", {"type": "unload", "purpose": "chat"}, "Unloaded."),
        ("pin", {"type": "pin", "pinned": True}, "Pinned."),
        ("unpin", {"type": "pin", "pinned": False}, "Unpinned."),
    ],
)
async def test_the_host_is_asked_for_each_and_what_it_refuses_is_told(
    host: FakeHost, root: User, two: list[Variant], action: str, asked: dict[str, Any], noted: str
) -> None:
    client = await administrator(root)
    posted = asyncio.ensure_future(client.post(LIST, chosen(action, two), follow=True))
    first = await host.take(asked["type"])
    await first.say(fake_host.refused(DoesNotFit("ram", 2 << 30, 1 << 30, device_name="RAM")))
    second = await host.take(asked["type"])
    await second.say({"type": "completed"})
    told = text_of(await posted)
    by_id = {each.pk: each for each in two}
    refused, done = by_id[first.request["variant_id"]], by_id[second.request["variant_id"]]
    assert {**asked, "variant_id": refused.pk} == first.request
    assert f"{refused.name}: {refused.name} needs at least 2 GiB in RAM" in told
    assert f"{noted.rstrip('.')}: {done.name}." in told
    assert (await log_of(refused), await log_of(done)) == ([], [noted])


async def test_a_load_that_takes_its_time_goes_on_behind_the_page(
    host: FakeHost, root: User, two: list[Variant], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_host, "ANSWER_SECONDS", 0.05)
    client = await administrator(root)
    told = text_of(await client.post(LIST, chosen("load", two), follow=True))
    assert "Loading has begun, and goes on: one, two." in told
    assert [await log_of(each) for each in two] == [["Loading has begun."]] * 2
    for _ in two:
        line = await host.take("load")
        assert not line.is_dropped, "a host drops what nobody waits for"
        await line.say({"type": "completed"})


async def test_a_host_that_is_away_is_told_and_nothing_is_noted(host: FakeHost, root: User, two: list[Variant]) -> None:
    client = await administrator(root)
    await host.stop()
    told = text_of(await client.post(LIST, chosen("load", two), follow=True))
    assert told.count("The model host does not answer.") == 2
    assert "not known" in told
    assert not await LogEntry.objects.aexists()


async def test_deleting_asks_first_and_refuses_what_is_in_use(host: FakeHost, root: User, two: list[Variant]) -> None:
    client = await administrator(root)
    question = text_of(await client.post(LIST, chosen("delete_selected", two)))
    assert question.count("Its file is deleted, which frees") == 2
    assert await Variant.objects.acount() == 2
    host.residents = [resident(two[1].pk, "two", leases=1)]
    told = text_of(await client.post(LIST, chosen("delete_selected", two, post="yes"), follow=True))
    assert "Deleted: one." in told
    assert "two is in use: 1 request is running on it." in told
    assert [each.name async for each in Variant.objects.all()] == ["two"]
    (noted,) = await log_of(two[0])
    assert noted.startswith("Deleted. Its file is deleted")


async def test_access_is_set_for_many(host: FakeHost, root: User, two: list[Variant]) -> None:
    client = await administrator(root)
    group = await Group.objects.acreate(name="grown-ups")
    question = text_of(await client.post(LIST, chosen("set_access", two)))
    assert "grown-ups" in question
    assert question.count("Now for everybody.") == 2
    await client.post(LIST, chosen("set_access", two, post="yes", groups=[group.pk]))
    assert await sync_to_async(lambda: sorted(group.variants.values_list("name", flat=True)))() == ["one", "two"]
    assert await log_of(two[0]) == ["Kept for: grown-ups."]
    await client.post(LIST, chosen("set_access", two[:1], post="yes"))
    assert await sync_to_async(lambda: list(group.variants.values_list("name", flat=True)))() == ["two"]


async def test_wishes_are_set_for_many_and_empty_fields_stay(host: FakeHost, root: User, two: list[Variant]) -> None:
    client = await administrator(root)
    await Variant.objects.filter(name="two").aupdate(least_n_ctx_seq=4096, keep_alive_seconds=7)
    form = {"post": "yes", "n_ctx_seq": "2048", "n_seq_max": "", "keep_alive_seconds": ""}
    told = text_of(await client.post(LIST, chosen("set_wishes", two, **form), follow=True))
    assert "two: Its least context is longer than that." in told
    values = [
        each
        async for each in Variant.objects.order_by("name").values_list("n_ctx_seq", "n_seq_max", "keep_alive_seconds")
    ]
    assert values == [(2048, 4, None), (4096, 4, 7)]
    assert await log_of(two[0]) == ["Context of one slot: 2048."]
    refused = await client.post(LIST, chosen("set_wishes", two, post="yes", n_ctx_seq="7"))
    assert "greater than or equal to 64" in text_of(refused)
    assert "Nothing was changed." in text_of(
        await client.post(LIST, chosen("set_wishes", two, post="yes"), follow=True)
    )


async def test_verifying_starts_jobs_and_requantizing_goes_to_the_page(
    host: FakeHost, root: User, two: list[Variant], settings: Any
) -> None:
    client = await administrator(root)
    response = await client.post(LIST, chosen("verify", two))
    assert response["Location"] == reverse("admin:models_app_job_changelist")
    started = [(job.kind, job.title, job.created_by_id) async for job in Job.objects.order_by("pk")]
    assert started == [("verify", f"Verify {each.name}", root.pk) for each in two]
    response = await client.post(LIST, chosen("requantize", two[:1]))
    assert response["Location"] == "/models/one/requantize/"
    assert "One at a time" in text_of(await client.post(LIST, chosen("requantize", two), follow=True))


async def test_a_pin_in_the_form_reaches_the_host(host: FakeHost, root: User, two: list[Variant]) -> None:
    client = await administrator(root)
    url = reverse("admin:models_app_variant_change", args=[two[0].pk])
    rows = {
        f"{prefix}-{name}_FORMS": "0"
        for prefix in ("shards", "measurements", "quality")
        for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")
    }
    form = {"name": "one", "enabled": "on", "n_ctx_seq": "4096", "n_seq_max": "4", "pinned": "on", **rows}
    posted = asyncio.ensure_future(client.post(url, form))
    pin = await host.take("pin")
    assert pin.request == {"type": "pin", "variant_id": two[0].pk, "pinned": True}
    await pin.say({"type": "completed"})
    assert (await posted).status_code == 302
    assert (await Variant.objects.aget(name="one")).pinned


# jobs ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_jobs_page_shows_its_log_and_asks_for_its_progress(admin_client: Client) -> None:
    job = Job.objects.create(
        kind="download", title="Fetch it", state=Job.State.RUNNING, done=GIB, total=4 * GIB, unit="bytes"
    )
    JobLine.objects.bulk_create([JobLine(job=job, text=f"line {number}") for number in range(20)])
    page = admin_client.get(reverse("admin:models_app_job_change", args=[job.pk])).content.decode()
    live = reverse("admin:models_app_job_live", args=[job.pk])
    assert f'hx-get="{live}"' in page
    assert "line 0" in page
    part = admin_client.get(live)
    assert "1 GiB of 4 GiB" in text_of(part)
    assert 'value="250"' in part.content.decode()
    assert "line 19" in text_of(part)
    assert "line 11" not in text_of(part)
    assert f'hx-get="{live}"' in part.content.decode()
    Job.objects.update(state=Job.State.DONE)
    assert "hx-get" not in admin_client.get(live).content.decode()


@pytest.mark.django_db
def test_jobs_are_paused_and_cancelled_and_only_ended_ones_are_deleted(admin_client: Client) -> None:
    job = Job.objects.create(kind="verify", title="Verify it")
    url = reverse("admin:models_app_job_changelist")

    def act(action: str, **fields: str) -> str:
        sent = {"action": action, "_selected_action": [job.pk], **fields}
        return text_of(admin_client.post(url, sent, follow=True))

    assert "Paused: Verify it." in act("pause")
    assert "1 is in a state in which that does not apply." in act("pause")
    assert "Resumed: Verify it." in act("resume")
    act("delete_selected", post="yes")
    assert Job.objects.exists()
    assert "Cancelled: Verify it." in act("cancel")
    assert [entry.change_message for entry in LogEntry.objects.filter(action_flag=2).order_by("pk")] == [
        "Paused.",
        "Resumed.",
        "Cancelled.",
    ]
    Job.objects.update(state=Job.State.CANCELLED)
    assert jobs.retry(job)
    Job.objects.update(state=Job.State.DONE)
    act("delete_selected", post="yes")
    assert not Job.objects.exists()


# people -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_only_administrators_get_in_and_there_is_one_login_page(client: Client) -> None:
    assert client.get("/admin/login/", follow=True).redirect_chain[-1][0] == "/login/?next=/admin/"
    client.force_login(User.objects.create_user("visitor"))
    assert client.get("/admin/", follow=True).status_code == 403
    client.force_login(User.objects.create_superuser("root"))
    assert client.get("/admin/login/")["Location"] == "/admin/"


@pytest.mark.django_db
def test_the_log_of_changes_is_read_and_never_edited(admin_client: Client, admin_user: User) -> None:
    group = Group.objects.create(name="grown-ups")
    admin_client.post(reverse("admin:auth_group_change", args=[group.pk]), {"name": "grown up"})
    entry = LogEntry.objects.get()
    told = text_of(admin_client.get(reverse("admin:admin_logentry_changelist")))
    assert "Changed Name." in told
    assert admin_user.username in told
    for name in ("change", "delete"):
        url = reverse(f"admin:admin_logentry_{name}", args=[entry.pk])
        assert admin_client.post(url, {"post": "yes"}).status_code == 403
    assert admin_client.get(reverse("admin:admin_logentry_add")).status_code == 403


@pytest.mark.django_db
def test_groups_tell_their_members_and_what_they_may_use(
    admin_client: Client, admin_user: User, two: list[Variant]
) -> None:
    group = Group.objects.create(name="grown-ups")
    admin_user.groups.add(group)
    two[0].groups.add(group)
    told = text_of(admin_client.get(reverse("admin:auth_group_changelist")))
    assert "grown-ups 1 one" in told
    assert "grown-ups" in text_of(admin_client.get(reverse("admin:auth_user_changelist")))
