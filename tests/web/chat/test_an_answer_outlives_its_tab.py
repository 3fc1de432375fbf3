from __future__ import annotations

import asyncio

from django.contrib.auth.models import User

from inference.models import Message
from inference.web.chat import turns
from models_app.models import Variant
from tests.web.fake_host import FakeHost
from tests.web.tab import OpenTab


async def test_a_reload_resumes_in_the_middle(open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant) -> None:
    first = await open_tab(alice)
    accepted = await first.send("Count", variant.pk)
    _lease, generation = await host.lease()
    await generation.token(1, "one ")
    await first.said(accepted["message"], "one ")
    await first.close()
    await generation.token(2, "two ")

    second = await open_tab(alice)
    await second.say(type="open", conversation=accepted["conversation"])
    answer = (await second.hear("conversation"))["messages"][1]
    assert answer["state"] == "running"
    assert "one two ".startswith(answer["content"])
    await generation.token(3, "three")
    seen = answer["content"]
    while seen != "one two three":
        patch = await second.hear("patch", message=accepted["message"])
        assert patch["at"] == len(seen)
        seen += patch["content"]
    await generation.done(3)
    assert (await second.hear("final"))["view"]["content"] == "one two three"


async def test_two_tabs_follow_one_answer(open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant) -> None:
    first, second = await open_tab(alice), await open_tab(alice)
    # It has read its list, which is empty: from now on the list is told when it changes.
    await second.hear("conversations", rows=[])
    accepted = await first.send("Hello", variant.pk)
    (row,) = (await second.hear("conversations"))["rows"]
    assert (row["id"], row["title"], row["running"]) == (accepted["conversation"], "Hello", True)
    await second.say(type="open", conversation=accepted["conversation"])
    await second.hear("conversation")
    _lease, generation = await host.lease()
    await generation.token(1, "Hi")
    await generation.done(1)
    for tab in (first, second):
        # The list and the answer take ways of their own; either may be the first.
        ended, listed = None, True
        while ended is None or listed:
            frame = await tab.frame()
            if frame["type"] == "final":
                ended = frame["view"]
            elif frame["type"] == "conversations" and frame["rows"]:
                listed = frame["rows"][0]["running"]
        assert (ended["state"], ended["content"]) == ("complete", "Hi")


async def test_a_turn_in_another_tab_shows_up_where_its_conversation_is_open(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    first, second = await open_tab(alice), await open_tab(alice)
    accepted = await first.send("Hello", variant.pk)
    _lease, generation = await host.lease()
    await generation.done(0)
    await first.hear("final")
    await second.say(type="open", conversation=accepted["conversation"])
    assert len((await second.hear("conversation"))["messages"]) == 2

    ids = {"conversation": accepted["conversation"], "parent": accepted["message"]}
    again = await first.send("And?", variant.pk, "n2", **ids)
    view = await second.hear("conversation")
    assert [each["content"] for each in view["messages"]] == ["Hello", "", "And?", ""]
    _lease, generation = await host.lease()
    await generation.token(1, "So.")
    await second.said(again["message"], "So.")


async def test_a_running_answer_is_in_the_database_within_a_second_or_so(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    accepted = await tab.send("Hello", variant.pk)
    _lease, generation = await host.lease()
    await generation.token(1, "Hi", reasoning=True)
    await generation.token(2, "Hello")

    async def stored() -> None:
        while True:
            row = await Message.objects.aget(pk=accepted["message"])
            if row.n_tokens == 2:
                assert (row.content, row.reasoning, row.state) == ("Hello", "Hi", "running")
                return
            await asyncio.sleep(0.05)

    await asyncio.wait_for(stored(), 5)


async def test_the_end_of_the_web_process_keeps_what_was_said(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    accepted = await tab.send("Hello", variant.pk)
    _lease, generation = await host.lease()
    await generation.token(1, "Hel")
    await tab.said(accepted["message"], "Hel")
    await turns.shutdown()
    await generation.hung_up()
    row = await Message.objects.aget(pk=accepted["message"])
    assert (row.state, row.content, row.error_code) == ("interrupted", "Hel", "web_restarted")


async def test_what_a_killed_web_process_left_running_is_interrupted(
    host: FakeHost, alice: User, variant: Variant
) -> None:
    conversation = await alice.conversations.acreate(title="Old")  # type: ignore[attr-defined]
    left = await Message.objects.acreate(conversation=conversation, role="assistant", state="running", content="Hel")
    whole = await Message.objects.acreate(conversation=conversation, role="assistant", state="complete", content="Hi")
    assert await asyncio.to_thread(turns.interrupt_orphans) == 1
    await left.arefresh_from_db()
    await whole.arefresh_from_db()
    assert (left.state, left.content, whole.state) == ("interrupted", "Hel", "complete")
    assert "kept" in left.error_detail
