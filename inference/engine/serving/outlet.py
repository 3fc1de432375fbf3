"""Where a worker's answers go."""

from __future__ import annotations

from typing import Any, Protocol


class Outlet(Protocol):
    """Where a generation's messages go (`connection.Connection`)."""

    @property
    def broken(self) -> bool: ...

    def send(self, *messages: Any, last: bool = False) -> None: ...
