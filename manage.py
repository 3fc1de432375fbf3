#!/usr/bin/env python
"""Django's command line for hostui."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hostui.settings")
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    from hostui.box.env import BadSetting

    try:
        execute_from_command_line(sys.argv)
    except BadSetting as error:
        sys.exit(f"hostui: {error}")
    except DatabaseError as error:
        from models_app.first_start import explain

        sentence = explain(error)
        if sentence is None:
            raise
        sys.exit(f"hostui: {sentence}")


if __name__ == "__main__":
    main()
