"""Lives of jobs processes, forked off a program that owns a box of its own, so that each costs milliseconds. Linux."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path


def environment(data_dir: Path) -> dict[str, str]:
    """For the program: this box, and nothing of ours."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HOSTUI_", "HF_"))}
    return {**clean, "HOSTUI_DATA_DIR": str(data_dir)}


def begin(prepare: Callable[[], None] = lambda: None) -> int:
    """Forks a jobs process that lives until nothing is due; its process id. `prepare` is the first thing it does.

    The caller has closed its database connections: two processes cannot share one.
    """
    life = os.fork()
    if life == 0:
        try:
            prepare()
            _live()
        finally:
            os._exit(0)
    return life


def _live() -> None:
    from models_app.jobs.runner import Runner

    sent: list[int] = []
    runner = Runner("box", send=sent.append)
    runner.sweep()
    for job_id in sent:
        runner.work(job_id)


def end(life: int, seconds: float) -> None:
    """Kills it after that long, or when it has ended by itself."""
    handle = os.pidfd_open(life)
    select.select([handle], [], [], seconds)
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    os.close(handle)
    os.waitpid(life, 0)


def until_nothing_is_left(prepare: Callable[[], None] = lambda: None) -> None:
    """One undisturbed life after the other, while any job is active."""
    from django.db import connections

    while n_active():
        connections.close_all()
        os.waitpid(begin(prepare), 0)


def n_active() -> int:
    """Jobs that have not ended. What waits for its time is not to be waited for here."""
    from models_app.models import Job

    Job.objects.filter(state=Job.State.WAITING).update(run_after=None)
    return Job.objects.filter(state__in=Job.ACTIVE).count()
