"""`/ws/host/`: what the box is doing, for everybody who is signed in. See inference.web.dashboard.frames."""

from __future__ import annotations

from inference.web.dashboard.feed import telemetry_feed
from inference.web.feeds.consumer import WatchConsumer


class HostConsumer(WatchConsumer):
    """One open dashboard."""

    async def watch(self) -> None:
        feed = self._watch = telemetry_feed()
        await feed.join(self)
