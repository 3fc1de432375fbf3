"""Where a download's bytes come from, as far as a download needs to know. `hub_source` is the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class Body(Protocol):
    """Bytes that are arriving."""

    @property
    def start(self) -> int:
        """Which byte of the file comes first: the one asked for, or 0 where the server knows no ranges."""

    @property
    def size_bytes(self) -> int | None:
        """Size of the whole file, as its sender says; None where that says nothing."""

    @property
    def chunks(self) -> Iterator[bytes]:
        """Raises HubError."""

    def abort(self) -> None:
        """Ends a read that waits in another thread. Harmless at any time."""


OpenFile = Callable[[str, int], AbstractContextManager[Body]]
"""A file of one repository at one revision, by its path, from that byte on. Raises HubError."""
