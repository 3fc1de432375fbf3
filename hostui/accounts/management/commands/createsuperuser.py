from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser

from hostui.accounts.console import recorded
from models_app.audit import ADDITION


class Command(createsuperuser.Command):
    requires_migrations_checks = False  # manage.py says it, for this box

    def handle(self, *args: Any, **options: Any) -> None:
        with recorded(ADDITION, "Account of an administrator made on the console."):
            super().handle(*args, **options)
