"""Staff are told what a load would do, and then load, unload and pin: with the page's script, and with forms alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import AsyncClient

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.preview import Leaver
from inference.core.scheduling.reasons import Reason
from inference.core.scheduling.refusals import DoesNotFit
from models_app.models import Variant
from tests.web.fake_host import GIB, FakeHost, preview, refused
from tests.web.pages import signed_in

JSON = {"accept": "application/json"}


async def staff(user: User) -> AsyncClient:
    user.is_staff = True
    await user.asave()
    return await signed_in(user)


async def test_a_load_is_told_with_what_it_does_to_others(host: FakeHost, alice: User, variant: Variant) -> None:
    other = await Variant.objects.acreate(repository=variant.repository, name="other", size_bytes=1)
    leaver = Leaver(ResidentId(other.pk), {"ram": GIB}, 60.0, 0, 2.0, 0.5)
    host.previews[False] = preview(variant.pk, "evicts", evicts=(leaver,))
    asked = await (await staff(alice)).get(f"/residency/{variant.pk}/", headers=JSON)
    assert asked.json() == {
        "variant_id": variant.pk,
        "name": "smol",
        "sentence": "smol takes 1 GiB in RAM and loads in about 1 s, "
        "after other (idle for 60 s, reload about 2 s) has left.",
        "may_anyway": False,
        "instead": "",
        "load_words": "Load",
    }
    assert "Accept" in asked["Vary"]


BUSY: dict[str, Any] = {"waits_for": (Leaver(ResidentId(9), {"ram": GIB}, None, 1, 2.0, 0.5),)}
LEAVES: dict[str, Any] = {"evicts": (Leaver(ResidentId(9), {"ram": GIB}, 60.0, 0, 2.0, 0.5),)}
BEHIND: dict[str, Any] = {"way": None, "reason": Reason("behind")}
TOO_BIG: dict[str, Any] = {"way": None, "unfit": DoesNotFit("ram", 2 * GIB, GIB, device_name="RAM")}
LATER = "Load when there is room"


@pytest.mark.parametrize(
    ("found", "anyway", "expected"),
    [
        (("waits", BUSY), ("waits", {**BUSY, "anyway": True}), (True, "smol waits for", LATER)),
        (("waits", BUSY), ("evicts", LEAVES), (True, "smol takes", LATER)),
        (("waits", BEHIND), ("waits", BEHIND), (True, "", LATER)),
        (("waits", BUSY), ("cannot", TOO_BIG), (False, "", LATER)),
        (("cannot", TOO_BIG), ("fits", {}), (False, "", "")),
        (("resident", {}), ("fits", {}), (False, "", "")),
    ],
)
async def test_load_anyway_is_offered_where_a_load_would_have_to_wait(
    host: FakeHost, alice: User, variant: Variant, found: Any, anyway: Any, expected: tuple[bool, str, str]
) -> None:
    host.previews = {
        False: preview(variant.pk, found[0], **found[1]),
        True: preview(variant.pk, anyway[0], **anyway[1]),
    }
    asked = (await (await staff(alice)).get(f"/residency/{variant.pk}/", headers=JSON)).json()
    may_anyway, instead, load_words = expected
    assert (asked["may_anyway"], asked["load_words"]) == (may_anyway, load_words)
    assert asked["instead"].startswith(instead)
    assert bool(asked["instead"]) == bool(instead)
    assert asked["instead"] != asked["sentence"]


async def test_without_scripts_the_question_is_a_page_with_a_form(
    host: FakeHost, alice: User, variant: Variant
) -> None:
    client = await staff(alice)
    variant.name = "a<b>"
    await variant.asave()
    host.previews[False] = preview(variant.pk)
    page = await client.get(f"/residency/{variant.pk}/")
    assert "a&lt;b&gt; fits: it takes 1 GiB in RAM" in page.content.decode()
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
        ("unload", {"type": "unload", "purpose": "chat"}),
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


async def test_a_worker_that_reads_for_a_job_is_unloaded_and_nothing_else_is_done_with_it(
    host: FakeHost, alice: User, variant: Variant
) -> None:
    client, address = await staff(alice), f"/residency/{variant.pk}/?purpose=imatrix"
    asked = asyncio.ensure_future(client.post(address, {"action": "unload"}, headers=JSON))
    line = await host.take("unload")
    assert line.request == {"type": "unload", "variant_id": variant.pk, "purpose": "imatrix"}
    await line.say({"type": "completed"})
    assert (await asked).status_code == 200
    for action in ("load", "load-anyway", "pin", "unpin"):
        assert (await client.post(address, {"action": action}, headers=JSON)).status_code == 400
    assert (await client.get(address, headers=JSON)).status_code == 400
    mistyped = f"/residency/{variant.pk}/?purpose=imatrices"
    assert (await client.post(mistyped, {"action": "unload"}, headers=JSON)).status_code == 400, "not of the chats then"


async def test_a_refusal_is_told_in_words(host: FakeHost, alice: User, variant: Variant) -> None:
    client = await staff(alice)
    for headers in (JSON, {}):
        asked = asyncio.ensure_future(client.post(f"/residency/{variant.pk}/", {"action": "load"}, headers=headers))
        line = await host.take("load")
        await line.say(refused(DoesNotFit("ram", 2 * GIB, GIB, device_name="RAM")))
        answer = await asked
        assert answer.status_code == 409
        assert "smol needs at least 2 GiB in RAM" in answer.content.decode()
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
