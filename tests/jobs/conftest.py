"""A jobs process of one's own, without Celery: its clock stands still until told, its messages land in a list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from models_app.jobs import Attempt
    from models_app.jobs.runner import Runner
    from models_app.models import Job


@dataclass(slots=True)
class Works:
    """`kind` is a registered kind of job whose code is `code`, to be replaced by each test."""

    now: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=timezone.utc))
    sent: list[int] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    """What was kept when each attempt began."""
    code: Any = None
    discarded: list[int] = field(default_factory=list)

    def process(self, box: str = "box") -> Runner:
        from models_app.jobs.runner import Runner

        return Runner(box, now=lambda: self.now, send=self.sent.append)

    def run(self, attempt: Attempt) -> None:
        self.attempts.append(dict(attempt.kept))
        if self.code is not None:
            self.code(attempt)

    def discard(self, job: Job) -> None:
        self.discarded.append(job.pk)

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def start(self, **spec: Any) -> Job:
        from models_app.jobs import start

        return start("test", spec, "A test")


@pytest.fixture
def works(db: None, settings: Any) -> Iterator[Works]:
    from models_app.jobs import kinds

    works = Works()
    kinds.register("test", works.run, at_once=1, discard=works.discard)
    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    yield works
    kinds.forget("test")


def unheard(job_id: int) -> None:
    """A broker that loses every message."""
