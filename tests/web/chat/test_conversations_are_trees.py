from __future__ import annotations

import asyncio
from typing import Any

from django.contrib.auth.models import User

from inference.models import Message
from models_app.models import Variant
from tests.web.fake_host import FakeHost
from tests.web.tab import OpenTab, Tab


async def answered(tab: Tab, host: FakeHost, answer: str) -> list[dict[str, str]]:
    """Lets the next turn say `answer`; returns what the worker was told."""
    _lease, generation = await host.lease()
    await generation.token(1, answer)
    await generation.done(1)
    assert (await tab.hear("final"))["view"]["content"] == answer
    told: list[dict[str, str]] = generation.request["messages"]
    return told


def texts(view: dict[str, Any]) -> list[str]:
    return [message["content"] for message in view["messages"]]


async def test_a_regenerated_answer_is_a_sibling(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    first = await tab.send("Q", variant.pk)
    await answered(tab, host, "A1")
    await tab.say(type="regenerate", nonce="r", message=first["message"], variant=variant.pk)
    second = await tab.hear("accepted", nonce="r")
    told = await answered(tab, host, "A2")
    assert told == [{"role": "user", "content": "Q"}]
    await tab.say(type="open", conversation=first["conversation"])
    view = await tab.hear("conversation")
    assert texts(view) == ["Q", "A2"]
    assert view["messages"][1]["siblings"] == [first["message"], second["message"]]

    await tab.say(type="branch", message=first["message"])
    assert texts(await tab.hear("conversation")) == ["Q", "A1"]
    # It is remembered.
    other = await open_tab(alice)
    await other.say(type="open", conversation=first["conversation"])
    assert texts(await other.hear("conversation")) == ["Q", "A1"]


async def test_an_edited_question_is_a_sibling_and_its_branch_knows_nothing_of_the_other(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    first = await tab.send("Q1", variant.pk)
    await answered(tab, host, "A1")
    place = {"conversation": first["conversation"], "parent": first["message"]}
    second = await tab.send("Q2", variant.pk, "n2", **place)
    await answered(tab, host, "A2")
    await tab.send("Q2, edited", variant.pk, "n3", **place)
    told = await answered(tab, host, "A2'")
    assert [each["content"] for each in told] == ["Q1", "A1", "Q2, edited"]

    # A branch further up leads to its own newest end.
    await tab.say(type="branch", message=second["message"])
    assert texts(await tab.hear("conversation")) == ["Q1", "A1", "Q2", "A2"]
    await tab.say(type="branch", message=first["message"])
    assert texts(await tab.hear("conversation")) == ["Q1", "A1", "Q2, edited", "A2'"]


async def test_the_first_question_can_be_edited_too(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    first = await tab.send("Q", variant.pk)
    await answered(tab, host, "A")
    await tab.send("Q, edited", variant.pk, "n2", conversation=first["conversation"])
    view = await tab.hear("conversation")
    assert texts(view) == ["Q, edited", ""]
    assert len(view["messages"][0]["siblings"]) == 2


async def test_an_empty_answer_is_not_told_and_a_partial_one_is(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    first = await tab.send("Q1", variant.pk)
    _lease, generation = await host.lease()
    generation.drop()
    await tab.hear("final")
    second = await tab.send("Q2", variant.pk, "n2", conversation=first["conversation"], parent=first["message"])
    _lease, generation = await host.lease()
    assert generation.request["messages"] == [{"role": "user", "content": "Q1\n\nQ2"}]
    await generation.token(1, "thinking", reasoning=True)
    await generation.token(2, "Part")
    await tab.said(second["message"], "Part")
    generation.drop()
    await tab.hear("final")
    await tab.send("Q3", variant.pk, "n3", conversation=first["conversation"], parent=second["message"])
    _lease, generation = await host.lease()
    assert [each["content"] for each in generation.request["messages"]] == ["Q1\n\nQ2", "Part", "Q3"]


async def test_nothing_goes_under_a_running_answer_but_other_branches_go_on(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    first = await tab.send("Q", variant.pk)
    place = {"conversation": first["conversation"], "parent": first["message"]}
    await tab.ask("Too soon", variant.pk, "n2", **place)
    refused = await tab.hear("error")
    assert (refused["code"], refused["nonce"]) == ("busy", "n2")
    await tab.say(type="regenerate", nonce="n3", message=first["message"], variant=variant.pk)
    assert (await tab.hear("error"))["code"] == "busy"
    await tab.send("Another way", variant.pk, "n4", conversation=first["conversation"])
    await tab.send("Elsewhere", variant.pk, "n5")


async def test_a_question_under_a_question_is_refused(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    accepted = await tab.send("Q", variant.pk)
    question = (await tab.hear("conversation"))["messages"][0]["id"]
    await tab.ask("Q2", variant.pk, "n2", conversation=accepted["conversation"], parent=question)
    assert (await tab.hear("error"))["code"] == "bad_message"
    await tab.say(type="regenerate", nonce="n3", message=question, variant=variant.pk)
    assert (await tab.hear("error"))["code"] == "bad_message"


async def test_a_repeated_question_is_asked_once(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    first, second = await open_tab(alice), await open_tab(alice)
    accepted = await first.send("Q", variant.pk, "same")
    assert await second.send("Q", variant.pk, "same") == accepted
    assert texts(await second.hear("conversation")) == ["Q", ""]
    _lease, generation = await host.lease()
    await generation.token(1, "A")
    for tab in (first, second):
        await tab.said(accepted["message"], "A")
    await generation.done(1)
    await first.hear("final")
    await first.say(type="regenerate", nonce="again", message=accepted["message"], variant=variant.pk)
    again = await first.hear("accepted")
    await second.say(type="regenerate", nonce="again", message=accepted["message"], variant=variant.pk)
    assert await second.hear("accepted", nonce="again") == again
    assert await Message.objects.acount() == 3


async def test_the_same_question_twice_at_the_same_time_is_asked_once(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tabs = [await open_tab(alice) for _ in range(4)]
    accepted = await asyncio.gather(*(tab.send("Q", variant.pk, "same") for tab in tabs))
    assert all(each == accepted[0] for each in accepted)
    assert await Message.objects.acount() == 2


async def test_a_title_is_the_beginning_and_can_be_changed(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab, other = await open_tab(alice), await open_tab(alice)
    accepted = await tab.send("  Why is\nthe sky blue, and " + "why " * 30, variant.pk)
    title = (await tab.hear("conversation"))["title"]
    assert title == "Why is the sky blue, and" + " why" * 9 + "…"
    await tab.say(type="rename", conversation=accepted["conversation"], title=" Sky ")
    assert (await tab.hear("conversation"))["title"] == "Sky"
    rows = [{"title": ""}]
    while not rows or rows[0]["title"] != "Sky":
        rows = (await other.hear("conversations"))["rows"]
