from __future__ import annotations

import uuid

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient

from inference.core.loads.resident_id import ResidentId
from inference.core.monitoring.alarms import Alarm
from inference.core.scheduling.decisions import Unloaded
from inference.core.scheduling.reasons import ForLoading
from inference.models import Conversation
from models_app.models import Variant
from tests.web.fake_host import GIB, FakeHost, decision, device, segment, telemetry, variant_telemetry, waiting
from tests.web.pages import payload, signed_in
from tests.web.tab import OpenTab


async def test_pages_need_a_login(host: FakeHost) -> None:
    for path in ("/", "/chat/", f"/chat/{uuid.uuid4()}/"):
        response = await AsyncClient().get(path)
        assert (response.status_code, response["Location"]) == (302, f"/login/?next={path}")


async def test_the_first_paint_is_what_the_socket_would_say(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    accepted = await tab.send("What is </script> for?", variant.pk)
    _lease, generation = await host.lease()
    await generation.token(1, "An end")
    await tab.said(accepted["message"], "An end")

    client = await signed_in(alice)
    page = (await client.get(f"/chat/{accepted['conversation']}/")).content.decode()
    await tab.say(type="open", conversation=accepted["conversation"])
    assert payload(page, "conversation-payload") == await tab.hear("conversation")
    (row,) = payload(page, "conversations-payload")["rows"]
    assert (row["id"], row["running"]) == (accepted["conversation"], True)
    assert payload(page, "variants-payload")["rows"][0]["name"] == "smol"
    assert "What is &lt;/script&gt; for?" in page
    assert payload((await client.get("/chat/")).content.decode(), "conversation-payload") is None


async def test_another_persons_conversation_is_not_there(
    host: FakeHost, alice: User, bob: User, variant: Variant
) -> None:
    hers = await Conversation.objects.acreate(owner=alice, title="Hers")
    client = await signed_in(bob)
    assert (await client.get(f"/chat/{hers.pk}/")).status_code == 404
    assert (await client.get(f"/chat/{uuid.uuid4()}/")).status_code == 404


async def test_the_dashboard_is_painted_by_the_server(host: FakeHost, alice: User, variant: Variant) -> None:
    held = [segment("weights", 3 * GIB, variant.pk), segment("kv", GIB, variant.pk), segment("foreign", GIB)]
    variant.name = "<smol>"
    await variant.asave()
    alarm = Alarm(ResidentId(variant.pk), "gpu0", "spilling", 1.0, 9.0, None, None)
    host.backlog = telemetry(
        "backlog",
        devices=[device("gpu0", "RTX 3060", held)],
        variants=[variant_telemetry(variant.pk, "smol", pinned=True, alarm=alarm)],
        queue=[waiting(1, str(alice.pk), variant.pk, ForLoading(0.5))],
        decisions=[decision(1, Unloaded(ResidentId(variant.pk), "asked"))],
    )
    response = await (await signed_in(alice)).get("/")
    (bar,) = response.context["page"]["bars"]
    assert [(row["name"], row["size"], row["parts"]) for row in bar["legend"]] == [
        ("<smol>", "4 GiB", "weights 3 GiB · KV cache 1 GiB"),
        ("other programs", "1 GiB", ""),
        ("free", "11.0 GiB", ""),
    ]
    assert [(rect["key"], rect["x"], rect["width"]) for rect in bar["rects"]] == [
        (f"{variant.pk} weights", 0.0, 187.5),
        (f"{variant.pk} kv", 187.5, 62.5),
        (" foreign", 250.0, 62.5),
        (" free", 312.5, 687.5),
    ]
    (resident,) = response.context["page"]["residents"]
    assert (resident["pinned"], resident["idle"]) == (True, "5 s")
    assert "RTX 3060 is full, so the driver spills" in resident["trouble"]
    assert response.context["page"]["queue"][0]["is_yours"]
    page = response.content.decode()
    assert f'data-key="{variant.pk} weights"' in page
    assert "&lt;smol&gt; is unloaded: a person asked." in page
    assert " style=" not in page, "the content security policy forbids it"


async def test_the_dashboard_says_when_the_host_is_away(host: FakeHost, alice: User, variant: Variant) -> None:
    await host.stop()
    response = await (await signed_in(alice)).get("/")
    assert response.status_code == 200
    assert response.context["state"] is None
    assert "The model host does not answer" in response.content.decode()
    assert [row["state_words"] for row in response.context["models"]] == ["on disk"]


@pytest.mark.parametrize("problem", ["", "the tensor blk.0 ends beyond the file"])
async def test_the_dashboard_offers_no_load_of_what_cannot_run(
    host: FakeHost, alice: User, variant: Variant, problem: str
) -> None:
    alice.is_staff = True
    await alice.asave()
    variant.problem = problem
    await variant.asave()
    page = (await (await signed_in(alice)).get("/")).content.decode()
    assert (f'href="/residency/{variant.pk}/"' in page) is not bool(problem)
    assert problem in page


async def test_the_admin_lists_conversations_without_their_text(
    open_tab: OpenTab, host: FakeHost, alice: User, bob: User, variant: Variant
) -> None:
    tab = await open_tab(bob)
    accepted = await tab.send("A secret", variant.pk)
    alice.is_staff = alice.is_superuser = True
    await alice.asave()
    client = await signed_in(alice)
    listed = await client.get("/admin/inference/conversation/")
    shown = await client.get(f"/admin/inference/conversation/{accepted['conversation']}/change/")
    for response in (listed, shown):
        assert response.status_code == 200
        assert accepted["conversation"] in response.content.decode()
        assert "secret" not in response.content.decode()


async def test_a_model_that_was_made_a_moment_ago_can_be_chatted_with(
    host: FakeHost, alice: User, variant: Variant
) -> None:
    client = await signed_in(alice)
    assert [
        row["name"] for row in payload((await client.get("/chat/")).content.decode(), "variants-payload")["rows"]
    ] == ["smol"]
    made = await Variant.objects.acreate(repository_id=variant.repository_id, name="made just now", size_bytes=1)
    page = (await client.get("/chat/", {"model": made.name})).content.decode()
    assert f'data-named="{made.pk}"' in page
    assert "made just now" in [row["name"] for row in payload(page, "variants-payload")["rows"]]
    assert "data-named" not in (await client.get("/chat/", {"model": "none such"})).content.decode()
