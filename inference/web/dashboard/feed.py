"""One subscription to the host's telemetry per web process, handed to every open `/ws/host/` socket; worded and encoded once for all to whom
the same may be told.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import aclosing, suppress
from typing import Any, cast

from django.conf import settings

from inference.core.monitoring.history import History
from inference.engine.protocol import BadMessage
from inference.host.api.client import HostClient, HostRefusal, HostUnavailable
from inference.host.api.messages import LoggedDecision
from inference.host.api.telemetry import Backlog, Delta
from inference.web.crossing.database_thread import StorageFailed
from inference.web.dashboard.frames import HostAway, named_in, worded
from inference.web.feeds.subscribers import AUTHORISED_SECONDS, MOST_UNSEEN, Watcher, encode, show_out, tell
from inference.web.visibility import queries
from inference.web.visibility.visibility import Visibility

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 2.0
MOST_DECISIONS = 200
STATE_WITHIN_SECONDS = 1.5

AWAY: HostAway = {"type": "away"}


class TelemetrySnapshot:
    """The host's telemetry as this process knows it. Pure."""

    def __init__(self, backlog: Backlog) -> None:
        self._history = History()
        self._history.extend(backlog["at"], backlog["series"])
        self._decisions: deque[LoggedDecision] = deque(backlog["decisions"], MOST_DECISIONS)
        self._state: Mapping[str, Any] = backlog
        self._texts: dict[Visibility, str] = {}

    def apply(self, delta: Delta) -> None:
        self._history.append(delta["at"], delta["figures"])
        self._decisions.extend(delta["decisions"])
        self._state = {**self._state, **delta}
        self._texts = {}

    @property
    def backlog(self) -> Backlog:
        """As the host would answer now to somebody new."""
        state = {name: value for name, value in self._state.items() if name != "figures"}
        return cast(
            Backlog,
            {
                **state,
                "type": "backlog",
                "at": self._history.at,
                "series": self._history.series,
                "decisions": list(self._decisions),
            },
        )

    def text(self, visibility: Visibility) -> str:
        """`backlog`, encoded; once for all who join in the same second and may read the same."""
        if visibility not in self._texts:
            self._texts[visibility] = encode(worded(self.backlog, visibility))
        return self._texts[visibility]


class _Subscription:
    """What one watcher has been sent."""

    __slots__ = ("is_behind", "unseen", "visibility")

    def __init__(self) -> None:
        self.unseen = 0
        self.visibility: Visibility | None = None
        """None: not known yet, so nothing is told."""
        self.is_behind = True
        """Its next frame is a whole backlog."""


class TelemetryFeed:
    """Lives in one event loop. The subscription starts with the first watcher and ends with the last."""

    def __init__(self, client: HostClient) -> None:
        self._client = client
        self._subscriptions: dict[Watcher, _Subscription] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._snapshot: TelemetrySnapshot | None = None
        self._is_away = False
        self._looked_for: set[int] = set()
        """Variants that a frame named and the watchers' visibility did not know: looked for once."""

    @property
    def is_running(self) -> bool:
        return bool(self._tasks)

    async def join(self, watcher: Watcher) -> None:
        """The watcher hears a backlog at once where one is known, and then what happens. It was found signed in just now."""
        subscription = self._subscriptions[watcher] = _Subscription()
        if not self._tasks:
            self._is_away = False
            self._tasks = [
                asyncio.create_task(self._keep(), name="host telemetry"),
                asyncio.create_task(self._guard(), name="watchers' sessions"),
            ]
        elif self._is_away:
            await watcher.tell(encode(AWAY))
        with suppress(StorageFailed):  # asked again by the guard
            await self._learn([watcher])
        if subscription.is_behind:
            await self._catch_up(watcher)

    def leave(self, watcher: Watcher) -> None:
        self._subscriptions.pop(watcher, None)
        if not self._subscriptions:
            for task in self._tasks:
                task.cancel()
            self._tasks = []
            self._snapshot = None

    async def seen(self, watcher: Watcher) -> None:
        """The watcher has taken in everything it was sent, or is near."""
        subscription = self._subscriptions.get(watcher)
        if subscription is not None:
            subscription.unseen = 0
            if subscription.is_behind and self._snapshot is not None:
                await self._catch_up(watcher)

    async def state(self) -> Backlog | None:
        """The present telemetry, for a first paint or a scrape; None where no host answers."""
        if self._snapshot is not None:
            return self._snapshot.backlog
        try:
            return await asyncio.wait_for(self._ask_once(), STATE_WITHIN_SECONDS)
        except (HostUnavailable, HostRefusal, BadMessage, asyncio.TimeoutError):
            return None

    async def _ask_once(self) -> Backlog | None:
        async with aclosing(self._client.telemetry()) as frames:
            async for frame in frames:
                if frame["type"] == "backlog":
                    return frame
        return None

    # upstream -----------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        delay_seconds = FIRST_RETRY_SECONDS
        while True:
            try:
                async with aclosing(self._client.telemetry()) as frames:
                    async for frame in frames:
                        delay_seconds = FIRST_RETRY_SECONDS
                        await self._heard(frame)
            except (HostUnavailable, HostRefusal, BadMessage) as error:
                logger.debug("no telemetry: %s", error)
            await self._lost()
            await asyncio.sleep(delay_seconds)
            delay_seconds = min(delay_seconds * 2, LONGEST_RETRY_SECONDS)

    async def _heard(self, frame: Backlog | Delta) -> None:
        self._is_away = False
        await self._look_for_new(frame)
        if frame["type"] == "backlog":
            self._snapshot = TelemetrySnapshot(frame)
            for subscription in self._subscriptions.values():
                subscription.is_behind = True
            for watcher in list(self._subscriptions):
                await self._catch_up(watcher)
        elif self._snapshot is not None:
            self._snapshot.apply(frame)
            await self._spread(frame)

    async def _look_for_new(self, frame: Backlog | Delta) -> None:
        """A variant that is newer than what is known of the watchers would be told as one that is gone."""
        ids = named_in(frame) - self._looked_for
        if all(each.visibility is None or each.visibility.knows(ids) for each in self._subscriptions.values()):
            return
        with suppress(StorageFailed):
            await self._learn(list(self._subscriptions))
            self._looked_for |= ids

    async def _lost(self) -> None:
        self._snapshot = None
        if not self._is_away:
            self._is_away = True
            text = encode(AWAY)
            for watcher in list(self._subscriptions):
                await tell(watcher, text)

    # downstream ---------------------------------------------------------------------------------------------------

    async def _spread(self, frame: Delta) -> None:
        texts: dict[Visibility, str] = {}
        for watcher, subscription in list(self._subscriptions.items()):
            visibility = subscription.visibility
            if visibility is None or subscription.unseen >= MOST_UNSEEN:
                subscription.is_behind = True
            elif subscription.is_behind:
                await self._catch_up(watcher)
            else:
                subscription.unseen += 1
                if visibility not in texts:
                    texts[visibility] = encode(worded(frame, visibility))
                await tell(watcher, texts[visibility])

    async def _catch_up(self, watcher: Watcher) -> None:
        subscription = self._subscriptions.get(watcher)
        if (
            subscription is None
            or subscription.visibility is None
            or self._snapshot is None
            or subscription.unseen >= MOST_UNSEEN
        ):
            return
        subscription.is_behind = False
        subscription.unseen += 1
        await tell(watcher, self._snapshot.text(subscription.visibility))

    async def _guard(self) -> None:
        """Closes the sockets of whoever is not signed in any more, and learns what is kept from the others by now."""
        while True:
            await asyncio.sleep(AUTHORISED_SECONDS)
            await self.check_sessions()

    async def check_sessions(self) -> None:
        watchers = list(self._subscriptions)
        # What can't be asked was true a moment ago; nobody is thrown out because a disk is full.
        with suppress(StorageFailed):
            await self._learn(watchers)
            await show_out(watchers)

    async def _learn(self, watchers: Collection[Watcher]) -> None:
        """Whoever may be told more or less than before begins anew. Raises StorageFailed."""
        found = await queries.visibilities({watcher.session[1] for watcher in watchers})
        for watcher in watchers:
            subscription = self._subscriptions.get(watcher)
            if subscription is not None and subscription.visibility != found[watcher.session[1]]:
                subscription.visibility, subscription.is_behind = found[watcher.session[1]], True


_by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, TelemetryFeed] = weakref.WeakKeyDictionary()


def telemetry_feed() -> TelemetryFeed:
    """The feed of the running event loop: a web process has one."""
    loop = asyncio.get_running_loop()
    found = _by_loop.get(loop)
    if found is None:
        found = _by_loop[loop] = TelemetryFeed(HostClient(settings.HOST_SOCKET))
    return found
