"""`/ws/jobs/`: jobs as they get on, for everybody who is signed in. See inference.web.jobs.rows for the frames."""

from __future__ import annotations

from inference.web.feeds.consumer import WatchConsumer
from inference.web.jobs.feed import job_feed


class JobConsumer(WatchConsumer):
    """One open page."""

    is_staff = False

    async def watch(self) -> None:
        self.is_staff = bool(getattr(self.scope["user"], "is_staff", False))
        watch = self._watch = job_feed()
        await watch.join(self)
