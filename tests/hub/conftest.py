from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _own_session() -> Iterator[None]:
    """Connections are kept by huggingface_hub's session, and each test has a Hub of its own."""
    yield
    from huggingface_hub import close_session

    close_session()
