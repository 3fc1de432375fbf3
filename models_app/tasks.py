"""What Celery runs. A message only says which job to look at; see models_app.jobs.runner."""

from __future__ import annotations

import hashlib
import socket
from functools import cache

from celery import shared_task
from django.conf import settings

from models_app.jobs.runner import Runner


@cache
def runner() -> Runner:
    """This process's own."""
    folder = hashlib.sha256(str(settings.DATA_DIR).encode()).hexdigest()[:12]
    return Runner(f"{socket.gethostname()[:100]}:{folder}")


@shared_task(name="models_app.run_job", ignore_result=True)
def run_job(job_id: int) -> None:
    runner().work(job_id)
