from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import changepassword

from hostui.accounts.console import recorded
from models_app.audit import CHANGE


class Command(changepassword.Command):
    requires_migrations_checks = False  # manage.py says it, for this box

    def handle(self, *args: Any, **options: Any) -> str:
        with recorded(CHANGE, "Password changed on the console."):
            return str(super().handle(*args, **options))
