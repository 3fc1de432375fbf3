from __future__ import annotations

import logging
from pathlib import Path

from django.apps import AppConfig
from django.conf import settings

from hostui.box import private_files


class HostuiConfig(AppConfig):
    name = "hostui"

    def ready(self) -> None:
        """Every process begins here, with logging set up and before any opens the database."""
        mended = private_files.mend(settings.DATA_DIR, [Path.home(), settings.BASE_DIR])
        if sentence := mended.sentence(settings.DATA_DIR):
            modes = {str(path): f"{mode:o}" for path, mode in mended.closed}
            logging.getLogger("hostui.box").warning(sentence, extra={"event": "files_closed", "modes": modes})
