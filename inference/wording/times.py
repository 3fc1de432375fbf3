"""When something was, as people say it."""

from __future__ import annotations

from datetime import datetime

from inference.wording.translation import gettext as _
from models_app.units import format_duration


def ago(at: datetime, now: datetime) -> str:
    """just now, 3 h ago"""
    seconds = (now - at).total_seconds()
    return _("just now") if seconds < 60 else _("{duration} ago").format(duration=format_duration(seconds))
