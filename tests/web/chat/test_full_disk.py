"""SQLite itself says "database or disk is full" here: it may not use one page more than it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection
from django.db.backends.signals import connection_created

from inference.models import Conversation, Message
from inference.web.chat import store
from models_app.models import Variant
from tests.web.fake_host import FakeHost
from tests.web.tab import OpenTab


def _no_more_pages(connection: Any, **kwargs: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA page_count")
        (pages,) = cursor.fetchone()
        cursor.execute(f"PRAGMA max_page_count = {pages}")


def _vacuum() -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")


class Disk:
    async def fill(self) -> None:
        # What earlier tests deleted left pages behind that could be used.
        await sync_to_async(_vacuum)()
        connection_created.connect(_no_more_pages)
        await store.close_connections()

    async def free(self) -> None:
        connection_created.disconnect(_no_more_pages)
        await store.close_connections()


@pytest_asyncio.fixture
async def disk(transactional_db: None) -> AsyncIterator[Disk]:
    disk = Disk()
    yield disk
    await disk.free()


LONG = "All work and no play makes Jack a dull boy. " * 4000


async def test_a_question_that_cannot_be_stored_is_refused_and_leaves_nothing(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant, disk: Disk
) -> None:
    tab = await open_tab(alice)
    await disk.fill()
    await tab.ask(LONG, variant.pk)
    refused = await tab.hear("error")
    assert (refused["code"], refused["nonce"]) == ("storage", "n1")
    assert "disk is full" in refused["detail"]
    assert not await Conversation.objects.aexists()
    assert not await Message.objects.aexists()

    await disk.free()
    await tab.send(LONG, variant.pk)
    while (lease := await host.take("lease")).request["request_id"] != str((await _answer()).pk):
        await lease.hung_up()


async def test_a_running_answer_goes_on_and_is_stored_once_there_is_room(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant, disk: Disk
) -> None:
    tab = await open_tab(alice)
    accepted = await tab.send("Hello", variant.pk)
    _lease, generation = await host.lease()
    await disk.fill()
    await generation.token(1, LONG)
    refused = await tab.hear("error")
    assert (refused["code"], refused["nonce"]) == ("storage", None)
    await generation.token(2, "The end.")
    await generation.done(2)
    final = (await tab.hear("final"))["view"]
    assert (final["state"], final["content"]) == ("complete", LONG + "The end.")
    row = await _answer()
    assert (row.state, row.content) == ("running", "")

    # A reload shows what is in memory.
    other = await open_tab(alice)
    await other.say(type="open", conversation=accepted["conversation"])
    assert (await other.hear("conversation"))["messages"][1] == final

    await disk.free()
    await _until_stored()
    row = await _answer()
    assert (row.state, row.content, row.n_tokens) == ("complete", LONG + "The end.", 2)
    await _whole()


async def _answer() -> Message:
    return await Message.objects.aget(role="assistant")


async def _until_stored() -> None:
    async def stored() -> None:
        # What another thread commits tells nobody: looking again is the only way.
        while (await _answer()).state == "running":  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    await asyncio.wait_for(stored(), 10)


async def _whole() -> None:
    def check() -> str:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA integrity_check")
            return str(cursor.fetchone()[0])

    assert await sync_to_async(check)() == "ok"
