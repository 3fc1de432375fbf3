"""Sockets of pages that watch: what all of them share."""

from __future__ import annotations

import json
from typing import Any, Protocol

from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer

from inference.web.feeds.close_codes import CLOSE_BAD_FRAME, CLOSE_SIGNED_OUT, CLOSE_TOO_LARGE

LONGEST_FRAME_BYTES = 1024


class Feed(Protocol):
    """Tells what happens to whoever joined."""

    def leave(self, watcher: Any) -> None: ...

    async def seen(self, watcher: Any) -> None: ...


class WatchConsumer(AsyncWebsocketConsumer):
    """One open page that watches. It says `{"type": "seen"}` now and then; one that stops gets no more frames until it does."""

    _watch: Feed

    async def connect(self) -> None:
        self.session: tuple[str | None, int] = (None, 0)
        self._is_watching = False
        await self.accept()
        user = self.scope["user"]
        if user is None or not user.is_authenticated:
            await self.close(CLOSE_SIGNED_OUT)
            return
        self.session = (self.scope["session"].session_key, user.pk)
        self._is_watching = True
        await self.watch()

    async def watch(self) -> None:
        """Sets `_watch` and joins it. Somebody is signed in."""
        raise NotImplementedError

    async def disconnect(self, code: int) -> None:
        if self._is_watching:
            self._watch.leave(self)

    async def dispatch(self, message: dict[str, Any]) -> None:
        """As Channels does, less a hop into another thread for each message: no handler touches the database here."""
        await getattr(self, get_handler_name(message))(message)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """`seen` grants nothing but more of what the watch checks every ten seconds, so it is not checked again."""
        if not self._is_watching:
            return
        if text_data is None or len(text_data) > LONGEST_FRAME_BYTES:
            await self.close(CLOSE_TOO_LARGE)
        elif not _is_seen(text_data):
            await self.close(CLOSE_BAD_FRAME)
        else:
            await self._watch.seen(self)

    # what a watch asks ------------------------------------------------------------------------------------------

    async def tell(self, text: str) -> None:
        # Past Channels' own send, which only picks a key.
        event: Any = {"type": "websocket.send", "text": text}  # its type asks for `bytes` too, which ASGI does not
        await self.base_send(event)

    async def signed_out(self) -> None:
        await self.close(CLOSE_SIGNED_OUT)


def _is_seen(text: str) -> bool:
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(frame, dict) and frame.get("type") == "seen"
