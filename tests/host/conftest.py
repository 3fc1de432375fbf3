from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.host.cast import Box, start_box


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a name short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="host-") as path:
        yield Path(path)


@pytest_asyncio.fixture
async def box(folder: Path) -> AsyncIterator[Box]:
    """A host with a budget of 1000 bytes."""
    async with AsyncExitStack() as stack:
        yield await start_box(stack, folder)
