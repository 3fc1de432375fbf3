from __future__ import annotations

import asyncio
import uuid

from django.contrib.auth.models import User

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.reasons import Reason
from inference.models import Message
from models_app.models import Variant
from tests.web.fake_host import FakeHost
from tests.web.tab import OpenTab, asked


async def test_stop_frees_the_worker_and_keeps_the_text(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    accepted, lease, generation = await asked(tab, host, variant)
    await generation.token(1, "Hel")
    await tab.said(accepted["message"], "Hel")
    await tab.say(type="stop", message=accepted["message"])
    await generation.hung_up()
    await lease.hung_up()
    final = (await tab.hear("final"))["view"]
    assert (final["state"], final["content"], final["error_code"]) == ("stopped", "Hel", "")
    assert (await Message.objects.aget(pk=accepted["message"])).state == "stopped"
    # Again is as good as once.
    await tab.say(type="stop", message=accepted["message"])
    await tab.say(type="stop", message=str(uuid.uuid4()))
    assert (await tab.hear("error"))["code"] == "not_found"
    assert [frame for frame in tab.seen if frame["type"] == "error"] == tab.seen[-1:]


async def test_stop_leaves_the_queue_at_once(open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant) -> None:
    tab = await open_tab(alice)
    accepted = await tab.send("Hello", variant.pk)
    lease = await host.take("lease")
    await lease.say({"type": "queued", "position": 3, "reason": Reason("slots", (ResidentId(variant.pk),))})
    await tab.hear("patch", message=accepted["message"])
    await tab.say(type="stop", message=accepted["message"])
    await lease.hung_up()
    assert (await tab.hear("final"))["view"]["state"] == "stopped"


async def test_nobody_stops_another_persons_answer(
    open_tab: OpenTab, host: FakeHost, alice: User, bob: User, variant: Variant
) -> None:
    hers, his = await open_tab(alice), await open_tab(bob)
    accepted, _lease, generation = await asked(hers, host, variant)
    await his.say(type="stop", message=accepted["message"])
    refused = await his.hear("error")
    await his.say(type="stop", message=str(uuid.uuid4()))
    assert await his.hear("error") == refused
    assert refused["code"] == "not_found"
    await generation.token(1, "Hi")
    await hers.said(accepted["message"], "Hi")


async def test_deleting_a_conversation_stops_its_answer(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    accepted, _lease, generation = await asked(tab, host, variant)
    await tab.say(type="delete", conversation=accepted["conversation"])
    await generation.hung_up()
    await tab.hear("conversations", rows=[])
    assert not await Message.objects.aexists()


async def test_a_conversation_deleted_elsewhere_ends_its_answer_too(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    _accepted, _lease, generation = await asked(tab, host, variant)
    await generation.token(1, "Hi")
    await alice.conversations.all().adelete()  # type: ignore[attr-defined]
    await asyncio.wait_for(generation.hung_up(), 5)
