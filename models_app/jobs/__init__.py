"""Durable jobs: `start` writes a row, the jobs process claims it and runs the code that `register` named for its kind."""

from models_app.jobs.attempt import Attempt
from models_app.jobs.commands import cancel, pause, resume, resume_unrecorded, retry, set_done, start, start_once
from models_app.jobs.kinds import register
from models_app.jobs.outcomes import (
    Cancelled,
    Interrupted,
    Interruption,
    JobFailed,
    JobOutcome,
    Lost,
    Paused,
    Retry,
    Wait,
)

__all__ = [
    "Attempt",
    "Cancelled",
    "Interrupted",
    "Interruption",
    "JobFailed",
    "JobOutcome",
    "Lost",
    "Paused",
    "Retry",
    "Wait",
    "cancel",
    "pause",
    "register",
    "resume",
    "resume_unrecorded",
    "retry",
    "set_done",
    "start",
    "start_once",
]
