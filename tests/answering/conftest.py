"""A host and a worker that say what the test says, and what a door would see of one request."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from inference.answering import usage
from inference.answering.usage import UsageRecord
from tests.web.fake_host import FakeHost, fake_host


@pytest_asyncio.fixture
async def host() -> AsyncIterator[FakeHost]:
    # Not tmp_path: its paths are longer than a socket's name may be.
    with tempfile.TemporaryDirectory(prefix="hostui-") as folder:
        async with fake_host(Path(folder)) as running:
            yield running


@pytest.fixture
def records() -> Iterator[list[UsageRecord]]:
    """What was used, as an observer in this process learns it."""
    seen: list[UsageRecord] = []
    unsubscribe = usage.subscribe(seen.append)
    yield seen
    unsubscribe()
