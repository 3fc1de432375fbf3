"""Whether the jobs process lives, as seen from any other process of the box."""

from __future__ import annotations

import time
from pathlib import Path

from django.conf import settings

HEARTBEAT_SECONDS = 5.0
HEARTBEAT_STALE_SECONDS = 20.0
JOBS_HEARTBEAT = Path(settings.RUN_DIR) / "jobs.heartbeat"
"""Touched by the jobs process's own timer; old means that its loop is stuck or gone."""


def jobs_beat() -> bool:
    """Whether the jobs process touched its heartbeat lately."""
    try:
        return time.time() - JOBS_HEARTBEAT.stat().st_mtime < HEARTBEAT_STALE_SECONDS
    except OSError:
        return False
