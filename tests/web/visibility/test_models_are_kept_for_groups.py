"""A variant that is kept for a group is used and seen by its members and by administrators, and by nobody else."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User
from django.test import AsyncClient, Client
from django.urls import reverse

from hostui.accounts.models import ApiKey
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.decisions import Evicted, Failed, LoadRefused, Spared, Unloaded
from inference.core.scheduling.reasons import InQueue, Reason
from inference.core.scheduling.refusals import DoesNotFit
from inference.web.dashboard.feed import telemetry_feed
from inference.web.jobs.feed import job_feed
from inference.web.visibility.queries import visibilities
from models_app.catalog.access import Access, access_of, restrictions, usable_by
from models_app.models import Job, Quality, Repository, Variant
from tests.web.fake_host import (
    FakeHost,
    decision,
    device,
    refused,
    resident,
    segment,
    telemetry,
    variant_telemetry,
    waiting,
)
from tests.web.pages import payload, signed_in
from tests.web.program import Program
from tests.web.tab import OpenTab, Tab, session_cookie


@pytest.fixture
def kept(variant: Variant) -> Variant:
    """Beside `variant`, which is everybody's: one for grown-ups and one for two groups."""
    grown, guests = Group.objects.create(name="grown-ups"), Group.objects.create(name="guests")
    own = Variant.objects.create(repository=variant.repository, name="kept", size_bytes=1)
    both = Variant.objects.create(repository=variant.repository, name="both", size_bytes=1)
    own.groups.set([grown])
    both.groups.set([grown, guests])
    return own


def join(user: User, group: str) -> None:
    user.groups.add(Group.objects.get(name=group))


def test_groups_decide_and_administrators_use_everything(alice: User, bob: User, kept: Variant) -> None:
    def usable(user: User) -> list[str]:
        access, restricted_to = access_of(user), restrictions()
        found = [each.name for each in usable_by(user, Variant.objects.order_by("name"))]
        assert found == [each.name for each in Variant.objects.all() if access.allows(restricted_to.get(each.pk, ()))]
        return found

    assert usable(alice) == ["smol"]
    join(alice, "guests")
    assert usable(alice) == ["both", "smol"]
    join(alice, "grown-ups")
    assert usable(alice) == ["both", "kept", "smol"]
    assert usable(bob) == ["smol"]
    bob.is_superuser = True
    assert usable(bob) == ["both", "kept", "smol"]


def test_no_group_is_not_every_group() -> None:
    nobody = Access(frozenset(), is_administrator=False)
    assert nobody.allows(())
    assert not nobody.allows({1})


async def test_the_chat_offers_and_begins_only_what_one_may_use(
    host: FakeHost, open_tab: OpenTab, alice: User, kept: Variant
) -> None:
    tab = await open_tab(alice)
    frame = await tab.hear("variants")
    assert [row["name"] for row in frame["rows"]] == ["smol"]
    page = (await (await signed_in(alice)).get("/chat/")).content.decode()
    assert [row["name"] for row in payload(page, "variants-payload")["rows"]] == ["smol"]
    await tab.ask("Hello?", kept.pk)
    refused = await tab.hear("error")
    assert refused["code"] == "no_variant"
    assert "kept for a group" in refused["detail"]


async def test_a_member_is_offered_it_and_gets_an_answer(
    host: FakeHost, open_tab: OpenTab, alice: User, kept: Variant
) -> None:
    await sync_to_async(join)(alice, "grown-ups")
    tab = await open_tab(alice)
    frame = await tab.hear("variants")
    assert sorted(row["name"] for row in frame["rows"]) == ["both", "kept", "smol"]
    await tab.send("Hello?", kept.pk)
    _lease, generation = await host.lease()
    assert generation.request["messages"][-1]["content"] == "Hello?"


async def test_programs_list_and_ask_only_what_their_owner_may_use(host: FakeHost, alice: User, kept: Variant) -> None:
    _row, key = await sync_to_async(ApiKey.issue)(alice)
    client, headers = AsyncClient(), {"authorization": f"Bearer {key}"}

    async def listed() -> list[str]:
        answer = await client.get("/v1/models", headers=headers)
        return [each["id"] for each in answer.json()["data"]]

    body = {"model": "kept", "messages": [{"role": "user", "content": "Hello?"}]}
    assert await listed() == ["smol"]
    assert (await client.get("/v1/models/kept", headers=headers)).status_code == 404
    asked = await client.post("/v1/chat/completions", body, content_type="application/json", headers=headers)
    assert (asked.status_code, asked.json()["error"]["code"]) == (404, "model_not_found")
    await sync_to_async(join)(alice, "grown-ups")
    assert sorted(await listed()) == ["both", "kept", "smol"]


def test_the_inventory_shows_what_one_may_use_and_all_of_it_to_staff(
    client: Client, alice: User, bob: User, kept: Variant
) -> None:
    def names() -> list[str]:
        return [row.name for row in client.get(reverse("models")).context["rows"]]

    client.force_login(alice)
    assert names() == ["smol"]
    assert client.get(reverse("model", args=["kept"])).status_code == 404
    assert [each["name"] for each in client.get(reverse("hardware")).context["variants"]] == ["smol"]
    assert "no model named" in client.get(reverse("hardware-plan"), {"variant": "kept"}).json()["problems"]["variant"]
    bob.is_staff = True
    bob.save()
    client.force_login(bob)
    assert names() == ["both", "kept", "smol"]


def test_staff_names_the_groups_on_the_variants_page(client: Client, alice: User, kept: Variant) -> None:
    alice.is_staff = True
    alice.save()
    client.force_login(alice)
    url = reverse("model", args=["smol"])
    form: Any = client.get(url).context["form"]
    sent = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    guests = Group.objects.get(name="guests")
    response = client.post(url, {**sent, "groups": [guests.pk]}, follow=True)
    assert "everybody → guests" in response.content.decode()
    assert list(Variant.objects.get(name="smol").groups.all()) == [guests]
    assert Repository.objects.count() == 1


# what the box tells of what it does -------------------------------------------------------------------------------


def crowded(kept: Variant, smol: Variant) -> dict[str, Any]:
    """The box has evicted one that is everybody's for one that is kept, and somebody waits for that."""
    loads = DoesNotFit("ram", 2 << 30, 4 << 30, (ResidentId(kept.pk),), 3 << 30, device_name="RAM")
    return telemetry(
        "backlog",
        devices=[device("ram", "RAM", [segment("weights", 3 << 30, kept.pk)])],
        variants=[
            variant_telemetry(kept.pk, "kept-before", failure_detail="/models/kept.gguf is broken", state="failed")
        ],
        queue=[waiting(1, "0", smol.pk, InQueue(1, Reason("room", (ResidentId(kept.pk), ResidentId(smol.pk)), 0)))],
        decisions=[
            decision(1, evicted(smol.pk, kept.pk), smol=smol.pk, kept_once=kept.pk),
            decision(2, Failed(ResidentId(kept.pk), "bad_file", "/models/kept.gguf is broken.", 1), kept_once=kept.pk),
            decision(3, LoadRefused(ResidentId(smol.pk), loads), smol=smol.pk, kept_once=kept.pk),
        ],
        decided=[{"kind": "failure", "variant_id": kept.pk, "purpose": "chat", "variant": "kept_once", "n": 3}],
    )


def evicted(variant_id: int, for_variant: int) -> Evicted:
    needs = ResidentId(for_variant)
    spared = (Spared(needs, 9.0),)
    return Evicted(ResidentId(variant_id), "room", {"ram": 1 << 30}, 60.0, 0, needs, 2.0, 0.5, 1.0, spared)


async def test_the_dashboard_shows_the_bytes_and_not_the_name(
    host: FakeHost, alice: User, variant: Variant, kept: Variant
) -> None:
    host.backlog = crowded(kept, variant)
    host.residents = [resident(kept.pk, "kept")]
    member = await signed_in(alice)
    page = (await member.get("/")).content.decode()
    assert "a model kept for others" in page
    assert "3 GiB" in page
    assert "Waiting for a model kept for others and smol to make room. You are next." in page
    assert "smol leaves: a model kept for others needs the room." in page
    assert "A model kept for others failed." in page
    assert "of the budget of 4 GiB there a model kept for others keeps 3 GiB pinned" in page
    without = page.replace("kept for others", "").replace("kept free", "")
    assert not re.search(r"\bkept\b", without)
    assert not re.search(r"\bboth\b", without)
    assert "kept_once" not in page
    for address in ("/models/", "/hardware/", "/models/smol/"):
        told = (await member.get(address)).content.decode()
        assert "a model kept for others" in told, address
        assert not re.search(r">\s*kept\s*<", told), address
    await sync_to_async(join)(alice, "grown-ups")
    assert "kept failed. /models/kept.gguf" in (await member.get("/")).content.decode(), "by its present name"


async def test_the_feed_tells_each_what_they_may_know_and_follows_a_change(
    host: FakeHost, alice: User, bob: User, variant: Variant, kept: Variant
) -> None:
    await sync_to_async(join)(bob, "grown-ups")
    host.backlog = crowded(kept, variant)
    tabs = {user: await Tab(await session_cookie(user), "/ws/host/").connect() for user in (alice, bob)}
    try:
        assert (await tabs[bob].frame())["variants"][0]["name"] == "kept"
        assert "/models/kept.gguf" not in json.dumps(await tabs[alice].frame())
        await host.tell_telemetry(telemetry("delta", 2, variants=[variant_telemetry(kept.pk, "kept")]))
        assert (await tabs[alice].frame())["variants"][0]["name"] == "a model kept for others"
        assert (await tabs[bob].frame())["variants"][0]["name"] == "kept"
        await sync_to_async(join)(alice, "grown-ups")
        await telemetry_feed().check_sessions()
        await host.tell_telemetry(telemetry("delta", 3, variants=[variant_telemetry(kept.pk, "kept")]))
        anew = await tabs[alice].frame()
        assert (anew["type"], anew["variants"][0]["name"]) == ("backlog", "kept")
    finally:
        for tab in tabs.values():
            await tab.close()


async def test_a_worker_that_reads_for_it_is_as_unnamed_as_one_that_answers(
    host: FakeHost, alice: User, variant: Variant, kept: Variant
) -> None:
    reader = ResidentId(kept.pk, "imatrix")
    host.backlog = telemetry(
        "backlog",
        variants=[variant_telemetry(kept.pk, "kept, read", purpose="imatrix")],
        queue=[waiting(1, "0", kept.pk, InQueue(1, Reason("leaving", (reader,))), "kept, read", "imatrix")],
        decisions=[decision(1, Unloaded(reader, "unwanted"), kept_once=reader)],
    )
    host.residents = [resident(kept.pk, "kept, read", purpose="imatrix")]
    member = await signed_in(alice)
    for address in ("/", "/models/"):
        page = (await member.get(address)).content.decode()
        assert "a model kept for others" in page
        assert "kept, read" not in page
        assert "kept_once" not in page
    await sync_to_async(join)(alice, "grown-ups")
    assert "kept (importance matrix) is unloaded" in (await member.get("/")).content.decode()


async def test_one_that_is_gone_is_not_named_by_old_lines(
    host: FakeHost, alice: User, variant: Variant, kept: Variant
) -> None:
    host.backlog = {**crowded(kept, variant), "variants": [], "queue": []}
    await kept.adelete()
    page = (await (await signed_in(alice)).get("/")).content.decode()
    assert "smol leaves: a model that is gone needs the room." in page
    assert "kept_once" not in page
    alice.is_staff = True
    await alice.asave()
    page = (await (await signed_in(alice)).get("/")).content.decode()
    assert "smol leaves: kept_once needs the room." in page, "who runs the box knew it"


async def test_one_that_is_gone_and_that_the_host_still_knows_is_not_named(
    host: FakeHost, alice: User, variant: Variant, kept: Variant
) -> None:
    host.backlog = {**crowded(kept, variant), "decisions": []}
    host.residents = [resident(kept.pk, "kept-before")]
    number = kept.pk
    await kept.adelete()
    _row, key = await sync_to_async(ApiKey.issue)(alice)
    scraped = await AsyncClient().get("/metrics", headers={"authorization": f"Bearer {key}"})
    assert f'variant="a model that is gone ({number})"' in scraped.content.decode()
    member = await signed_in(alice)
    pages = [(await member.get(address)).content.decode() for address in ("/", "/models/", "/hardware/")]
    for page in (*pages, scraped.content.decode()):
        assert "a model that is gone" in page
        assert "kept-before" not in page
        assert "kept.gguf" not in page


async def test_one_that_waits_is_named_to_nobody_who_waits_behind_it(
    host: FakeHost, alice: User, variant: Variant, kept: Variant
) -> None:
    """It is not in memory: the wait alone tells of it."""
    wait = InQueue(2, Reason("behind", (ResidentId(kept.pk),)))
    host.backlog = telemetry("backlog", queue=[waiting(2, "0", variant.pk, wait, "old-name")])
    page = (await (await signed_in(alice)).get("/")).content.decode()
    assert "A model kept for others is loaded first" in page
    assert "old-name" not in page


async def test_the_feed_does_not_take_a_new_one_for_one_that_is_gone(
    host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await Tab(await session_cookie(alice), "/ws/host/").connect()
    try:
        await tab.frame()
        new = await Variant.objects.acreate(repository_id=variant.repository_id, name="new", size_bytes=1)
        await host.tell_telemetry(telemetry("delta", 2, variants=[variant_telemetry(new.pk, "new")]))
        assert (await tab.frame())["variants"][0]["name"] == "new"
    finally:
        await tab.close()


async def test_a_program_that_is_refused_does_not_learn_who_is_in_its_way(
    host: FakeHost, alice: User, variant: Variant, kept: Variant
) -> None:
    program = await Program.of(alice)
    answer = program.ask()
    lease = await host.take("lease")
    await lease.say(refused(DoesNotFit("ram", 2 << 30, 4 << 30, (ResidentId(kept.pk),), 3 << 30, device_name="RAM")))
    told = (await answer).json()["error"]["message"]
    assert told.startswith("smol needs at least 2 GiB in RAM, but of the budget of 4 GiB there a model kept for others")


def test_a_page_does_not_name_what_its_model_was_compared_or_made_with(
    client: Client, alice: User, bob: User, variant: Variant, kept: Variant
) -> None:
    Quality.objects.create(
        variant=variant,
        text="a text",
        n_tokens=1,
        perplexity=2.0,
        perplexity_error=0.1,
        reference=kept,
        reference_name="kept-F16",
        kl_divergence=0.1,
    )
    recipe = {"type": "Q4_K_M", "imatrix": "kept-F16.imatrix.gguf"}
    Variant.objects.filter(pk=variant.pk).update(recipe=recipe, made_from=kept)
    bob.is_staff = True
    bob.save()
    url = reverse("model", args=["smol"])
    client.force_login(alice)
    page = client.get(url).content.decode()
    assert "Divergence is from a model kept for others" in page
    assert "Q4_K_M, with an importance matrix" in page
    assert "kept-F16" not in page
    kept.delete()
    page = client.get(url).content.decode()
    assert "Divergence is from a model that is gone" in page
    assert "kept-F16" not in page
    client.force_login(bob)
    page = client.get(url).content.decode()
    assert "Divergence is from kept-F16" in page
    assert "with kept-F16.imatrix.gguf" in page


async def test_a_scraper_of_a_member_tells_them_apart_by_number(
    host: FakeHost, alice: User, bob: User, variant: Variant, kept: Variant
) -> None:
    host.backlog = crowded(kept, variant)

    async def scraped(user: User) -> str:
        _row, key = await sync_to_async(ApiKey.issue)(user)
        answer = await AsyncClient().get("/metrics", headers={"authorization": f"Bearer {key}"})
        return answer.content.decode()

    told = await scraped(alice)
    assert f'hostui_variant_failures_total{{variant="a model kept for others ({kept.pk})"}} 3.0' in told
    assert '"kept"' not in told
    bob.is_superuser = True
    await bob.asave()
    assert 'hostui_variant_failures_total{variant="kept"} 3.0' in await scraped(bob)


async def test_whoever_waits_for_it_in_the_chat_is_not_told_its_name(
    host: FakeHost, open_tab: OpenTab, alice: User, variant: Variant, kept: Variant
) -> None:
    tab = await open_tab(alice)
    await tab.hear("variants")
    await tab.send("Hello?", variant.pk)
    lease = await host.take("lease")

    async def waits(stage: str) -> dict[str, Any]:
        while True:
            patch = await tab.hear("patch")
            if patch["wait"] is not None and patch["wait"]["stage"] == stage:
                return dict(patch["wait"])

    await lease.say({"type": "queued", "position": 1, "reason": Reason("room", (ResidentId(kept.pk),), 0)})
    told = await waits("queued")
    assert told["reason"] == "Waiting for a model kept for others to make room. You are next."
    await lease.say({"type": "evicting", "variants": [ResidentId(kept.pk), ResidentId(variant.pk)]})
    assert (await waits("evicting"))["variants"] == ["a model kept for others", "smol"]
    await lease.say(refused(DoesNotFit("ram", 2 << 30, 4 << 30, (ResidentId(kept.pk),), 3 << 30, device_name="RAM")))
    ended = (await tab.hear("final"))["view"]
    assert "there a model kept for others keeps 3 GiB pinned" in ended["error_detail"]


def test_jobs_tell_that_something_is_done_and_not_to_what(
    client: Client, alice: User, bob: User, kept: Variant
) -> None:
    job = Job.objects.create(kind="verify", title="Verify kept", variant=kept, created_by=bob)
    client.force_login(alice)
    for address in (reverse("jobs"), reverse("job", args=[job.pk])):
        page = client.get(address).content.decode()
        assert "Verify a model kept for others" in page
        assert "Verify kept" not in page
    join(alice, "grown-ups")
    assert "Verify kept" in client.get(reverse("jobs")).content.decode()


async def test_the_feed_of_jobs_follows_who_may_know(host: FakeHost, alice: User, kept: Variant) -> None:
    await Job.objects.acreate(kind="verify", title="Verify kept", variant=kept)
    tab = await Tab(await session_cookie(alice), "/ws/jobs/").connect()
    try:
        assert (await tab.frame())["jobs"][0]["title"] == "Verify a model kept for others"
        await sync_to_async(join)(alice, "grown-ups")
        await job_feed().check_sessions()
        await job_feed().look()
        assert (await tab.frame())["jobs"][0]["title"] == "Verify kept"
    finally:
        await tab.close()


@pytest.mark.django_db(transaction=True)
def test_what_is_kept_from_a_room_full_of_people_costs_no_queries_for_each(django_assert_max_num_queries: Any) -> None:
    people = [User.objects.create_user(f"person-{number}") for number in range(20)]
    with django_assert_max_num_queries(8):
        found = inspect.unwrap(visibilities)({each.pk for each in people})
    assert len(found) == 20
    assert len({id(each) for each in found.values()}) == 1
