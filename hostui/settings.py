"""Settings of hostui. Every knob is an environment variable; everything else follows from the data folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("HOSTUI_DATA_DIR") or BASE_DIR / "data").resolve()
RUN_DIR = DATA_DIR / "run"

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "hostui",
    "hostui.accounts",
    "models_app",
    "inference",
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "replaced by the platform work"  # noqa: S105
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "hostui.sqlite3"}}
USE_TZ = True

# Unix socket paths are limited to about 100 bytes; a deep data folder gets a short name in the temporary folder.
HOST_SOCKET = str(RUN_DIR / "host.sock")
if len(HOST_SOCKET.encode()) > 90:
    _digest = hashlib.sha256(str(DATA_DIR).encode()).hexdigest()[:12]
    HOST_SOCKET = str(Path(tempfile.gettempdir()) / f"hostui-{os.getuid()}-{_digest}" / "host.sock")
