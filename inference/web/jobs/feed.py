"""`/ws/jobs/`: one reader of the job rows per web process while anybody watches, and for each watcher what is new to them."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Collection
from typing import Protocol

from django.utils import timezone

from inference.web.crossing.database_thread import StorageFailed
from inference.web.feeds import subscribers
from inference.web.feeds.subscribers import AUTHORISED_SECONDS, MOST_UNSEEN, encode, show_out, tell
from inference.web.jobs import queries
from inference.web.jobs.line_tail import LineTail
from inference.web.jobs.rows import JobFrame, JobRow, job_row, line_row, may_read
from inference.web.visibility import queries as visibility_queries
from inference.web.visibility.visibility import NOTHING
from models_app.jobs.mentions import mentions_of
from models_app.models import Job

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
IDLE_LOOK_SECONDS = 3.0
"""Where nothing is under way: a page that starts something paints it itself."""


class JobWatcher(subscribers.Watcher, Protocol):
    is_staff: bool


class _Subscription:
    """What one watcher was told."""

    __slots__ = ("is_behind", "told", "unseen", "visibility")

    def __init__(self) -> None:
        self.visibility = NOTHING
        """Learnt before the first frame."""
        self.told: dict[int, JobRow] = {}
        self.unseen = 0
        self.is_behind = True
        """Its next frame is a backlog."""


class JobFeed:
    """Lives in one event loop. The reader starts with the first watcher and ends with the last."""

    def __init__(self) -> None:
        self._subscriptions: dict[JobWatcher, _Subscription] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._active: set[int] = set()
        self._last_job = 0
        self._tail: LineTail | None = None
        self._looked_for: set[int] = set()
        """Variants that a job named and the watchers' visibility did not know: looked for once."""

    @property
    def is_running(self) -> bool:
        return bool(self._tasks)

    async def join(self, watcher: JobWatcher) -> None:
        """The watcher hears a backlog, then what changes. It was found signed in just now."""
        self._subscriptions[watcher] = _Subscription()
        if not self._tasks:
            self._tail = None
            self._tasks = [
                asyncio.create_task(self._keep_looking(), name="job rows"),
                asyncio.create_task(self._guard(), name="job watchers' sessions"),
            ]
        await self._catch_up([watcher])

    def leave(self, watcher: JobWatcher) -> None:
        self._subscriptions.pop(watcher, None)
        if not self._subscriptions:
            for task in self._tasks:
                task.cancel()
            self._tasks = []

    async def seen(self, watcher: JobWatcher) -> None:
        """The watcher has taken in everything it was sent, or is near."""
        subscription = self._subscriptions.get(watcher)
        if subscription is not None:
            subscription.unseen = 0
            if subscription.is_behind:
                await self._catch_up([watcher])

    # looking ------------------------------------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS if self._active else IDLE_LOOK_SECONDS)
            try:
                await self.look()
            except StorageFailed:
                logger.debug("no look at the jobs")

    async def look(self) -> None:
        """Tells every watcher what has changed since it was last told. Raises StorageFailed."""
        await self._catch_up(
            [watcher for watcher, subscription in self._subscriptions.items() if subscription.is_behind]
        )
        # Whoever is told a backlog while the rows are read knows more than they say.
        told = [(watcher, subscription, subscription.told) for watcher, subscription in self._subscriptions.items()]
        tail = await self._lines()
        found = await queries.changes(self._active, self._last_job, tail.after, tail.seen)
        await self._look_for_new(found.jobs)
        self._remember(found.jobs)
        tail.tell([line.pk for line in found.lines], time.monotonic())
        for watcher, subscription, before in told:
            if subscription.told is not before or subscription.is_behind:
                continue
            if subscription.unseen >= MOST_UNSEEN:
                subscription.is_behind = True
                continue
            rows = _rows(watcher, subscription, found.jobs)
            news = [row for row in rows if subscription.told.get(row["id"]) != row]
            lines = [
                line_row(line)
                for line in found.lines
                if _may_read(watcher, subscription, found.speakers.get(line.job_id))
            ]
            if news or lines:
                await self._tell(watcher, subscription, {"type": "delta", "jobs": news, "lines": lines})

    async def _lines(self) -> LineTail:
        """From the first time on; earlier lines are the pages' own to fetch. Raises StorageFailed."""
        if self._tail is None:
            self._tail = LineTail(*await queries.last_lines(), time.monotonic())
        return self._tail

    def _remember(self, found: list[Job]) -> None:
        self._active = {job.pk for job in found if job.is_active}
        self._last_job = max([self._last_job, *(job.pk for job in found)])

    async def _catch_up(self, watchers: list[JobWatcher]) -> None:
        behind = [watcher for watcher in watchers if self._subscriptions[watcher].unseen < MOST_UNSEEN]
        if not behind:
            return
        try:
            await self._lines()
            jobs = await queries.backlog()
            await self._learn(behind)
        except StorageFailed:
            return
        # Kept from the next look: what was active here and has ended by then is told, too.
        self._active |= {job.pk for job in jobs if job.is_active}
        self._last_job = max([self._last_job, *(job.pk for job in jobs)])
        for watcher in behind:
            subscription = self._subscriptions.get(watcher)
            if subscription is not None:
                subscription.is_behind, subscription.told = False, {}
                await self._tell(watcher, subscription, {"type": "backlog", "jobs": _rows(watcher, subscription, jobs)})

    async def _learn(self, watchers: Collection[JobWatcher]) -> None:
        """What is kept from them by now; whoever may be told more or less than before begins anew. Raises StorageFailed."""
        found = await visibility_queries.visibilities({watcher.session[1] for watcher in watchers})
        for watcher in watchers:
            subscription, visibility = self._subscriptions.get(watcher), found[watcher.session[1]]
            if subscription is not None and subscription.visibility != visibility:
                subscription.visibility, subscription.is_behind = visibility, True

    async def _look_for_new(self, jobs: Collection[Job]) -> None:
        """A variant that is newer than what is known of the watchers would be told as one that is gone. Raises StorageFailed."""
        named = (mentions_of(job) for job in jobs)
        ids = {each for mentions in named for each in (*(mentions.title or ()), *(mentions.others or ()))}
        ids -= self._looked_for
        if not all(subscription.visibility.knows(ids) for subscription in self._subscriptions.values()):
            await self._learn(list(self._subscriptions))
            self._looked_for |= ids

    async def _tell(self, watcher: JobWatcher, subscription: _Subscription, frame: JobFrame) -> None:
        subscription.unseen += 1
        subscription.told.update((row["id"], row) for row in frame["jobs"])
        await tell(watcher, encode(frame))

    # who may watch ------------------------------------------------------------------------------------------------

    async def _guard(self) -> None:
        while True:
            await asyncio.sleep(AUTHORISED_SECONDS)
            await self.check_sessions()

    async def check_sessions(self) -> None:
        """Closes the sockets of whoever is not signed in any more, and learns who has become staff or ceased to be."""
        watchers = list(self._subscriptions)
        try:
            staff = await queries.staff_among({watcher.session[1] for watcher in watchers})
            for watcher in watchers:
                watcher.is_staff = watcher.session[1] in staff
            await self._learn(watchers)
            await show_out(watchers)
        except StorageFailed:
            # What can't be asked was true a moment ago; nobody is thrown out because a disk is full.
            return


def _may_read(watcher: JobWatcher, subscription: _Subscription, job: Job | None) -> bool:
    """The log of a job, which may be gone by now."""
    return job is not None and may_read(job, watcher.session[1], watcher.is_staff, subscription.visibility)


def _rows(watcher: JobWatcher, subscription: _Subscription, jobs: list[Job]) -> list[JobRow]:
    now = timezone.now()
    return [job_row(job, watcher.session[1], watcher.is_staff, now, subscription.visibility) for job in jobs]


_by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, JobFeed] = weakref.WeakKeyDictionary()


def job_feed() -> JobFeed:
    """The watch of the running event loop: a web process has one."""
    return _by_loop.setdefault(asyncio.get_running_loop(), JobFeed())
