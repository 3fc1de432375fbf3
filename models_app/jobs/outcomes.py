"""How an attempt at a job may end other than by being done. A job's code raises them; models_app.jobs.runner writes them down."""

from __future__ import annotations

from models_app.storable import storable


class JobOutcome(Exception):
    """Ends the present attempt."""


class JobFailed(JobOutcome):
    """No further attempt will help. `reason`: a sentence for a person, what happened and what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = storable(reason)


class Retry(JobOutcome):
    """Another attempt may succeed: it comes after a back-off, not before `after_seconds` where somebody asked for that."""

    def __init__(self, reason: str, after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = storable(reason)
        self.after_seconds = after_seconds


class Wait(JobOutcome):
    """Nothing is wrong with the job: it goes on in `seconds`, as often as needed (a full disk, a host that is away)."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.reason = storable(reason)
        self.seconds = seconds


class Interruption(JobOutcome):
    """Not the job's own doing; raised by `Attempt.progress` and `Attempt.check`. Let it through, after tidying up."""


class Paused(Interruption):
    """Somebody wishes so. What was done so far is kept."""


class Cancelled(Interruption):
    """Somebody wishes so. The kind's `discard` removes what the job left behind."""


class Interrupted(Interruption):
    """The jobs process is about to end; its successor goes on."""


class Lost(Interruption):
    """The row is claimed by another process, or gone: whatever is written from here on would be a second writer's."""
