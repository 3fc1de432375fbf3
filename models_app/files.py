"""What is done to files anywhere in the inventory."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings


def sync_folder(folder: Path) -> None:
    """Makes names in it survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def mode_for_models(folder: Path) -> int:
    """With which mode model files lie in `folder`: in the data folder for the box alone, elsewhere for other programs, too."""
    is_within = folder.resolve().is_relative_to(settings.DATA_DIR)
    return 0o600 if is_within else 0o644
