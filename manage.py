#!/usr/bin/env python
"""Django's command line for hostui."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hostui.settings")
    from django.core.management import execute_from_command_line

    from hostui.box.env import BadSetting

    try:
        execute_from_command_line(sys.argv)
    except BadSetting as error:
        sys.exit(f"hostui: {error}")


if __name__ == "__main__":
    main()
