"""Staff are told what a load would do, and then load, unload and pin: with the page's script, and with forms alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import AsyncClient

from models_app.models import Variant
from tests.web.fake_host import FakeHost, preview
from tests.web.pages import signed_in

JSON = {"accept": "application/json"}


async def staff(user: User) -> AsyncClient:
    user.is_staff = True
    await user.asave()
    return await signed_in(user)


async def test_a_load_that_fits_is_told_in_the_hosts_words(host: FakeHost, alice: User, variant: Variant) -> None:
    host.previews[False] = preview(variant.pk, "evicts", "m takes 1 GiB, after n has left.")
    asked = await (await staff(alice)).get(f"/residency/{variant.pk}/", headers=JSON)
    assert asked.json() == {
        "variant_id": variant.pk,
        "name": "m",
        "sentence": "m takes 1 GiB, after n has left.",
        "may_anyway": False,
        "instead": "",
        "load_words": "Load",
    }
    assert "Accept" in asked["Vary"]


@pytest.mark.parametrize(
    ("outcome", "anyway", "said", "expected"),
    [
        ("waits", "waits", "It goes first.", (True, "It goes first.", "Load when there is room")),
        ("waits", "evicts", "It waits.", (True, "", "Load when there is room")),
        ("waits", "cannot", "It cannot.", (False, "", "Load when there is room")),
        ("cannot", "fits", "It fits.", (False, "", "")),
        ("resident", "fits", "It fits.", (False, "", "")),
    ],
)
async def test_load_anyway_is_offered_where_a_load_would_have_to_wait(
    host: FakeHost, alice: User, variant: Variant, outcome: str, anyway: str, said: str, expected: tuple[Any, ...]
) -> None:
    host.previews = {
        False: preview(variant.pk, outcome, "It waits."),
        True: preview(variant.pk, anyway, said),
    }
    asked = (await (await staff(alice)).get(f"/residency/{variant.pk}/", headers=JSON)).json()
    assert asked["sentence"] == "It waits."
    assert (asked["may_anyway"], asked["instead"], asked["load_words"]) == expected


async def test_without_scripts_the_question_is_a_page_with_a_form(
    host: FakeHost, alice: User, variant: Variant
) -> None:
    client = await staff(alice)
    host.previews[False] = preview(variant.pk, "fits", "It fits <b>.")
    page = await client.get(f"/residency/{variant.pk}/")
    assert "It fits &lt;b&gt;." in page.content.decode()
    asked = asyncio.ensure_future(client.post(f"/residency/{variant.pk}/", {"action": "load"}))
    line = await host.take("load")
    await line.say({"type": "completed"})
    answer = await asked
    assert (answer.status_code, answer["Location"]) == (302, "/")


@pytest.mark.parametrize(
    ("action", "request_"),
    [
        ("load", {"type": "load", "anyway": False}),
        ("load-anyway", {"type": "load", "anyway": True}),
        ("unload", {"type": "unload"}),
        ("pin", {"type": "pin", "pinned": True}),
        ("unpin", {"type": "pin", "pinned": False}),
    ],
)
async def test_each_action_reaches_the_host(
    host: FakeHost, alice: User, variant: Variant, action: str, request_: dict[str, Any]
) -> None:
    client = await staff(alice)
    asked = asyncio.ensure_future(client.post(f"/residency/{variant.pk}/", {"action": action}, headers=JSON))
    line = await host.take(request_["type"])
    assert line.request == {**request_, "variant_id": variant.pk}
    await line.say({"type": "completed"})
    assert ((await asked).status_code, (await asked).json()) == (200, {})
    entry = await LogEntry.objects.aget()
    assert (entry.user_id, entry.object_id) == (alice.pk, str(variant.pk))
    assert entry.change_message.startswith(action.partition("-")[0].capitalize())


async def test_a_refusal_is_told_in_the_hosts_words(host: FakeHost, alice: User, variant: Variant) -> None:
    client = await staff(alice)
    for headers in (JSON, {}):
        asked = asyncio.ensure_future(client.post(f"/residency/{variant.pk}/", {"action": "load"}, headers=headers))
        line = await host.take("load")
        await line.say({"type": "refused", "code": "does_not_fit", "detail": "Too big.", "facts": {}})
        answer = await asked
        assert answer.status_code == 409
        assert "Too big." in answer.content.decode()
    assert not await LogEntry.objects.aexists()


async def test_a_host_that_is_away_is_told(host: FakeHost, alice: User, variant: Variant) -> None:
    client = await staff(alice)
    await host.stop()
    for answer in (
        await client.get(f"/residency/{variant.pk}/", headers=JSON),
        await client.post(f"/residency/{variant.pk}/", {"action": "load"}, headers=JSON),
    ):
        assert answer.status_code == 503
        assert "does not answer" in answer.json()["detail"]


async def test_nobody_else_may_and_there_are_no_other_actions(host: FakeHost, alice: User, variant: Variant) -> None:
    client = await signed_in(alice)
    assert (await client.get(f"/residency/{variant.pk}/")).status_code == 403
    assert (await client.post(f"/residency/{variant.pk}/", {"action": "load"})).status_code == 403
    assert (await (await staff(alice)).post(f"/residency/{variant.pk}/", {"action": "explode"})).status_code == 400
    assert (await AsyncClient().get(f"/residency/{variant.pk}/")).status_code == 302
