"""Fixtures of the web ring. Models are imported inside them: this file may load before Django is set up."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.web.fake_host import FakeHost, fake_host

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from models_app.models import Variant
    from tests.web.tab import OpenTab, Tab


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder whose path is short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="hostui-") as folder:
        yield Path(folder)


@pytest_asyncio.fixture
async def host(sockets: Path, settings: Any, transactional_db: None) -> AsyncIterator[FakeHost]:
    from inference.web.chat import turns

    settings.HOST_SOCKET = str(sockets / "host.sock")
    async with fake_host(sockets) as host:
        try:
            yield host
        finally:
            await turns.shutdown()


@pytest.fixture
def alice(transactional_db: None) -> User:
    from django.contrib.auth.models import User

    return User.objects.create_user("alice", password="secret")


@pytest.fixture
def bob(transactional_db: None) -> User:
    from django.contrib.auth.models import User

    return User.objects.create_user("bob", password="secret")


@pytest.fixture
def variant(transactional_db: None) -> Variant:
    from models_app.models import Repository, Variant

    repository = Repository.objects.create(name="local", kind=Repository.Kind.FOLDER)
    return Variant.objects.create(repository=repository, name="smol", size_bytes=93_000_000)


@pytest_asyncio.fixture
async def open_tab(host: FakeHost) -> AsyncIterator[OpenTab]:
    """Opens tabs of a person who is signed in; closes them at the end."""
    from tests.web.tab import Tab, session_cookie

    tabs: list[Tab] = []

    async def open_(user: User) -> Tab:
        tab = await Tab(await session_cookie(user)).connect()
        tabs.append(tab)
        return tab

    yield open_
    for tab in tabs:
        # A communicator whose wait timed out has ended already; its test has said so.
        with suppress(asyncio.CancelledError):
            await tab.close()
