"""`/ws/host/`: what the box is doing, for everybody who is signed in. See inference.host.api.telemetry for its frames."""

from __future__ import annotations

from inference.web.dashboard.feed import host_watch
from inference.web.feeds.consumer import WatchConsumer


class HostConsumer(WatchConsumer):
    """One open dashboard."""

    async def watch(self) -> None:
        watch = self._watch = host_watch()
        await watch.join(self)
