"""What the tests on a shared PostgreSQL and Redis have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.shared.servers import Servers, running_servers, why_none


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    if reason := why_none():
        pytest.skip(reason)
    with running_servers() as running:
        yield running
