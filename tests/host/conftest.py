from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.host.cast import Box, start_box
from tests.host.installation import prepared


@pytest.fixture(scope="session")
def prepared_folder(starter_path: Path) -> Iterator[Path]:
    """A data folder with the starter (variant 1) and a broken file (variant 2). To be copied, by `installed`."""
    with prepared(starter_path) as folder:
        yield folder


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
