from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session

from inference.web.chat import consumer
from models_app.models import Variant
from tests.web.fake_host import FakeHost
from tests.web.tab import OpenTab, Tab

CLOSED = 4401


async def test_nobody_gets_nothing(host: FakeHost, alice: User) -> None:
    tab = await Tab(None).connect()
    assert await tab.closed() == CLOSED
    assert tab.seen == []


async def test_a_made_up_session_gets_nothing(host: FakeHost, alice: User) -> None:
    tab = await Tab(b"hostui_session=abcdefghijklmnopqrstuvwxyz012345").connect()
    assert await tab.closed() == CLOSED


async def test_an_account_that_is_switched_off_loses_its_socket(
    open_tab: OpenTab, alice: User, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "AUTHORISED_SECONDS", 0.0)
    tab = await open_tab(alice)
    await tab.hear("conversations")
    alice.is_active = False
    await alice.asave()
    await tab.ask("Hi", variant.pk)
    assert await tab.closed() == CLOSED


async def test_a_logout_in_another_tab_ends_a_running_stream(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "AUTHORISED_SECONDS", 0.0)
    tab = await open_tab(alice)
    accepted = await tab.send("Hi", variant.pk)
    _lease, generation = await host.lease()
    await generation.token(1, "Hel")
    await tab.said(accepted["message"], "Hel")
    await Session.objects.all().adelete()
    await generation.token(2, "lo")
    assert await tab.closed() == CLOSED
    assert not any(frame.get("content") == "lo" for frame in tab.seen)


async def test_a_changed_password_ends_the_sockets_of_the_old_one(
    open_tab: OpenTab, alice: User, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "AUTHORISED_SECONDS", 0.0)
    tab = await open_tab(alice)
    await tab.hear("conversations")
    alice.set_password("another")
    await alice.asave()
    await tab.ask("Hi", variant.pk)
    assert await tab.closed() == CLOSED
