"""The Celery application of the jobs process. Its default broker is a folder: no server to install.

The broker only wakes the jobs process up; what is to be done, and how far it is, stands in the database.
"""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hostui.settings")

from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

POLL_SECONDS = 1.0

app = Celery("hostui", set_as_current=True)
app.conf.update(
    broker_connection_retry_on_startup=True,
    result_backend=None,
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    timezone="UTC",
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
)
if settings.REDIS_URL:
    app.conf.update(broker_url=settings.REDIS_URL)
else:
    _queue, _control = settings.DATA_DIR / "jobs" / "queue", settings.DATA_DIR / "jobs" / "control"
    for _folder in (_queue.parent, _queue, _control):
        _folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    app.conf.update(
        broker_url="filesystem://localhost",
        broker_transport_options={
            "data_folder_in": str(_queue),
            "data_folder_out": str(_queue),
            "control_folder": str(_control),
            "polling_interval": POLL_SECONDS,
        },
    )
app.autodiscover_tasks()


def wake(job_id: int) -> None:
    """Has the jobs process look at that job. Raises what the broker's client does where it cannot be told."""
    app.send_task("models_app.run_job", [job_id])


@setup_logging.connect
def _keep_djangos_logging(**kwargs: Any) -> None:
    """Celery sets up logging of its own unless somebody listens here; settings.LOGGING already did."""
