"""What the decode thread sends its messages to."""

from __future__ import annotations

from typing import Any, Protocol


class MessageSink(Protocol):
    """Takes a request's messages, from any thread (`connection.CallerConnection`). `broken`: nobody reads them any more."""

    @property
    def broken(self) -> bool: ...

    def send(self, *messages: Any, last: bool = False) -> None: ...
