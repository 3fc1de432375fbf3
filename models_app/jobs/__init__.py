"""Durable jobs: `start` writes a row, the jobs process claims it and runs the code that `register` named for its kind."""

from models_app.jobs.attempt import Running
from models_app.jobs.commands import cancel, go_on, note, pause, resume, retry, start, start_once
from models_app.jobs.kinds import register
from models_app.jobs.outcomes import Cancelled, Failed, Interrupted, Lost, Outcome, Paused, Retry, Told, Wait

__all__ = [
    "Cancelled",
    "Failed",
    "Interrupted",
    "Lost",
    "Outcome",
    "Paused",
    "Retry",
    "Running",
    "Told",
    "Wait",
    "cancel",
    "go_on",
    "note",
    "pause",
    "register",
    "resume",
    "retry",
    "start",
    "start_once",
]
