"""`/ws/host/`: one subscription for all, a backlog and then deltas, for whoever is signed in and keeps up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import pytest_asyncio
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session

from inference.core.scheduling.decisions import LoadingPaused
from inference.web.dashboard.feed import telemetry_feed
from inference.web.feeds.subscribers import MOST_UNSEEN
from models_app.models import Variant
from tests.web.fake_host import FakeHost, decision, telemetry, variant_telemetry
from tests.web.tab import Tab, session_cookie

ONE = LoadingPaused("ram", "RAM", 1 << 30, "foreign")
ONE_WORDED = "Nothing more is loaded in RAM: other programs use 1 GiB that variants hold."
CLOSED, BAD_FRAME, TOO_LARGE = 4401, 4400, 4413
Watch = Callable[[User], Coroutine[Any, Any, Tab]]


@pytest_asyncio.fixture
async def watch(host: FakeHost) -> AsyncIterator[Watch]:
    tabs: list[Tab] = []

    async def open_(user: User) -> Tab:
        tab = await Tab(await session_cookie(user), "/ws/host/").connect()
        tabs.append(tab)
        return tab

    yield open_
    for tab in tabs:
        await tab.close()
    assert not telemetry_feed().is_running


def without_counts(backlog: dict[str, Any]) -> dict[str, Any]:
    """What only programs want does not travel to a browser."""
    return {name: value for name, value in backlog.items() if name != "decided"}


async def test_a_backlog_comes_first_and_then_the_deltas(
    watch: Watch, host: FakeHost, alice: User, variant: Variant
) -> None:
    host.backlog = telemetry("backlog", 7, at=[1.0], series={"ram.used_bytes": [5]}, decisions=[decision(1, ONE)])
    tab = await watch(alice)
    backlog = await tab.frame()
    assert {**backlog, "decisions": []} == {**without_counts(host.backlog), "decisions": []}
    (line,) = backlog["decisions"]
    assert (line["kind"], line["variant_id"], line["sentence"], line["details"]) == ("pause", None, ONE_WORDED, "")
    delta = telemetry("delta", 8, figures={"ram.used_bytes": 6}, variants=[variant_telemetry(variant.pk, "as it was")])
    await host.tell_telemetry(delta)
    assert await tab.frame() == {**delta, "variants": [variant_telemetry(variant.pk, "smol")]}


async def test_all_sockets_share_one_subscription_that_ends_with_the_last(
    watch: Watch, host: FakeHost, alice: User, bob: User
) -> None:
    tabs = [await watch(user) for user in (alice, alice, bob)]
    for tab in tabs:
        assert (await tab.frame())["type"] == "backlog"
    await host.tell_telemetry(telemetry("delta", 2))
    for tab in tabs:
        assert (await tab.frame())["number"] == 2
    assert host.n_followed == 1
    for tab in tabs[:2]:
        await tab.close()
    assert telemetry_feed().is_running
    await tabs[2].close()
    assert not telemetry_feed().is_running


async def test_who_joins_later_gets_what_happened_since(
    watch: Watch, host: FakeHost, alice: User, bob: User, variant: Variant
) -> None:
    first = await watch(alice)
    await first.frame()
    await host.tell_telemetry(
        telemetry(
            "delta",
            2,
            figures={"ram.used_bytes": 6},
            variants=[variant_telemetry(variant.pk, "smol")],
            decisions=[decision(1, ONE)],
        )
    )
    await first.frame()
    backlog = await (await watch(bob)).frame()
    assert (backlog["type"], backlog["number"], backlog["series"]) == ("backlog", 2, {"ram.used_bytes": [6]})
    assert [each["sentence"] for each in backlog["decisions"]] == [ONE_WORDED]
    assert backlog["variants"] == [variant_telemetry(variant.pk, "smol")]
    assert host.n_followed == 1


async def test_a_page_that_falls_behind_gets_the_newest_state_and_no_pile(
    watch: Watch, host: FakeHost, alice: User, bob: User
) -> None:
    slow, quick = await watch(alice), await watch(bob)
    last = MOST_UNSEEN + 10
    for tab in (slow, quick):
        await tab.frame()
    for number in range(2, last):
        await host.tell_telemetry(telemetry("delta", number))
        assert (await quick.frame())["number"] == number
        await quick.say(type="seen")
    heard = [(await slow.frame())["number"] for _ in range(MOST_UNSEEN - 1)]
    assert heard == list(range(2, MOST_UNSEEN + 1))
    await slow.say(type="seen")
    caught_up = await slow.frame()
    assert (caught_up["type"], caught_up["number"]) == ("backlog", last - 1)
    await host.tell_telemetry(telemetry("delta", last))
    assert (await slow.frame())["number"] == last


async def test_the_host_going_and_coming_is_told(watch: Watch, host: FakeHost, alice: User) -> None:
    tab = await watch(alice)
    await tab.frame()
    await host.stop()
    assert await tab.frame() == {"type": "away"}
    host.backlog = telemetry("backlog", 1, pid=4712)
    await host.start()
    assert (await tab.frame())["pid"] == 4712


async def test_nobody_gets_nothing(host: FakeHost, alice: User) -> None:
    tab = await Tab(None, "/ws/host/").connect()
    assert await tab.closed() == CLOSED
    assert tab.seen == []
    assert not telemetry_feed().is_running


async def test_a_logout_ends_the_socket_and_leaves_the_others(
    watch: Watch, host: FakeHost, alice: User, bob: User
) -> None:
    hers, his = await watch(alice), await watch(bob)
    for tab in (hers, his):
        await tab.frame()
    for session in [session async for session in Session.objects.all()]:
        if session.get_decoded()["_auth_user_id"] == str(alice.pk):
            await session.adelete()
    await telemetry_feed().check_sessions()
    assert await hers.closed() == CLOSED
    await host.tell_telemetry(telemetry("delta", 2))
    assert (await his.frame())["number"] == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"type":"send"}', '"seen"', "[" * 1000])
async def test_anything_but_seen_ends_the_socket(watch: Watch, alice: User, text: str) -> None:
    tab = await watch(alice)
    await tab.say_text(text)
    assert await tab.closed() == BAD_FRAME


async def test_a_long_or_binary_frame_ends_the_socket(watch: Watch, alice: User) -> None:
    tab = await watch(alice)
    await tab.say_bytes(b"seen")
    assert await tab.closed() == TOO_LARGE
    tab = await watch(alice)
    await tab.say_text('{"type":"seen"' + " " * 2000 + "}")
    assert await tab.closed() == TOO_LARGE


async def test_one_broken_socket_does_not_stop_the_others(host: FakeHost) -> None:
    class Broken:
        session = (None, 0)

        async def tell(self, text: str) -> None:
            raise ConnectionError

        async def signed_out(self) -> None: ...

    class Whole(Broken):
        def __init__(self) -> None:
            self.heard: asyncio.Queue[str] = asyncio.Queue()

        async def tell(self, text: str) -> None:
            self.heard.put_nowait(text)

    watch, broken, whole = telemetry_feed(), Broken(), Whole()
    await watch.join(broken)
    await watch.join(whole)
    assert '"backlog"' in await asyncio.wait_for(whole.heard.get(), 10)
    await host.tell_telemetry(telemetry("delta", 2))
    assert '"delta"' in await asyncio.wait_for(whole.heard.get(), 10)
    watch.leave(broken)
    watch.leave(whole)
