"""What the decode thread sends its messages to."""

from __future__ import annotations

from typing import Protocol

from inference.engine.protocol import WorkerReply


class MessageSink(Protocol):
    """Takes a request's messages, from any thread (`connection.CallerConnection`). `broken`: nobody reads them any more."""

    @property
    def broken(self) -> bool: ...

    def send(self, *messages: WorkerReply, last: bool = False) -> None: ...
