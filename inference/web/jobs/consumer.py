"""`/ws/jobs/`: jobs as they get on, for everybody who is signed in. See inference.web.jobs.rows for the frames."""

from __future__ import annotations

from django.contrib.auth.models import User

from inference.web.feeds.consumer import WatchConsumer
from inference.web.jobs.feed import job_watch


class JobConsumer(WatchConsumer):
    """One open page."""

    is_staff = False

    async def watch(self) -> None:
        user = self.scope["user"]
        assert isinstance(user, User)
        self.is_staff = user.is_staff
        watch = self._watch = job_watch()
        await watch.join(self)
