"""A variant that is kept for a group is used and seen by its members and by administrators, and by nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User
from django.test import AsyncClient, Client
from django.urls import reverse

from hostui.accounts.models import ApiKey
from models_app.access import Access, access_of, restrictions, usable_by
from models_app.models import Repository, Variant
from tests.web.fake_host import FakeHost
from tests.web.tab import OpenTab
from tests.web.test_pages import payload, signed_in


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
        access, kept_for = access_of(user), restrictions()
        found = [each.name for each in usable_by(user, Variant.objects.order_by("name"))]
        assert found == [each.name for each in Variant.objects.all() if access.allows(kept_for.get(each.pk, ()))]
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
