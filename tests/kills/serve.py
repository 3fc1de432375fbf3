"""`manage.py serve` whose supervisor forgets failures at once: what is killed hundreds of times is started again each time
without a longer and longer pause. Everything else of it is the real one.
"""

from __future__ import annotations

import os
import sys

FIRST_DELAY_SECONDS = 0.05


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "hostui.settings"
    from django.core.management import execute_from_command_line

    from hostui.box import supervisor

    supervisor.STABLE_SECONDS = 0.0
    supervisor.FIRST_DELAY_SECONDS = FIRST_DELAY_SECONDS
    execute_from_command_line([sys.argv[0], "serve"])


if __name__ == "__main__":
    main()
