"""Durable jobs: `start` writes a row, the jobs process claims it and runs the code that `register` named for its kind."""

from models_app.jobs.kinds import register
from models_app.jobs.outcomes import Cancelled, Failed, Interrupted, Lost, Outcome, Paused, Retry, Told, Wait
from models_app.jobs.running import Running
from models_app.jobs.wishes import cancel, go_on, note, pause, resume, retry, start, start_once

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
