"""Without a budget of the owner's, the host spends a share of what is available."""

from __future__ import annotations

import psutil

from inference.host.machine import SHARE_OF_AVAILABLE, default_budget_bytes


def test_the_default_budget_leaves_room_for_everything_else() -> None:
    assert 0 < default_budget_bytes() <= SHARE_OF_AVAILABLE * psutil.virtual_memory().total
