"""`/ws/jobs/`: jobs as they get on, for everybody who is signed in. See inference.job_presentation for the frames."""

from __future__ import annotations

from inference.job_watch import job_watch
from inference.web.feeds.consumer import WatchConsumer


class JobConsumer(WatchConsumer):
    """One open page."""

    is_staff = False

    async def watch(self) -> None:
        self.is_staff = bool(self.scope["user"].is_staff)
        watch = self._watch = job_watch()
        await watch.join(self)
