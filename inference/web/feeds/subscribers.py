"""What the sockets that only listen have in common: how far one may fall behind, and how one is told and shown out."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Protocol

from inference.web.visibility.signed_in import still_signed_in

logger = logging.getLogger(__name__)

AUTHORISED_SECONDS = 10.0
"""How old the knowledge that a watcher is still signed in may be."""
MOST_UNSEEN = 15
"""Frames that a watcher may leave unacknowledged. daphne buffers without end, so a page says what it has taken in; one that is
behind gets nothing more until it does, and then the newest state whole."""


class Watcher(Protocol):
    """One open socket."""

    session: tuple[str | None, int]
    """Session key and user id."""

    async def tell(self, text: str) -> None: ...

    async def signed_out(self) -> None: ...


def encode(frame: Any) -> str:
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))


async def tell(watcher: Watcher, text: str) -> None:
    """Never raises: the end of a socket is noticed where it is read, and the other watchers must not suffer for it."""
    try:
        await watcher.tell(text)
    except Exception:
        logger.debug("a watcher could not be told", exc_info=True)


async def show_out(watchers: Collection[Watcher]) -> None:
    """Closes the sockets of whoever is not signed in any more. Raises StorageFailed, and has closed none then."""
    allowed = await still_signed_in({watcher.session for watcher in watchers})
    for watcher in watchers:
        if watcher.session not in allowed:
            with suppress(Exception):
                await watcher.signed_out()
