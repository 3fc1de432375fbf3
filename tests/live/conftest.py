from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import Stack, running_stack


@pytest.fixture(scope="package")
def breakable(starter_path: Path) -> Iterator[Stack]:
    """A box whose processes these tests kill, one after the other. Every test begins with all of them well."""
    with running_stack() as stack:
        yield stack


@pytest.fixture
def box(breakable: Stack) -> Stack:
    breakable.wait_healthy()
    return breakable
