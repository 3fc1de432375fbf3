from __future__ import annotations

import json
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from hostui.accounts.models import ApiKey
from models_app.audit import THE_BOX


class Command(BaseCommand):
    help = "Makes an API key for a user and prints it. It is shown this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="the user's name")
        parser.add_argument("--name", default="", help="what the key is for")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        users = get_user_model().objects
        user = users.filter(username=options["user"]).first()
        if user is None:
            people = users.exclude(username=THE_BOX).order_by("username")
            known = ", ".join(people.values_list("username", flat=True)[:20])
            raise CommandError(
                f"no user {options['user']!r}; there is {known or 'nobody yet: open the claim link first'}"
            )
        if not user.is_active:
            raise CommandError(f"{options['user']!r} is not active, so a key would not work")
        row, key = ApiKey.issue(user, options["name"][:100])
        if options["json"]:
            self.stdout.write(json.dumps({"user": user.get_username(), "name": row.name, "key": key}))
        else:
            self.stdout.write(key)
            self.stderr.write("Shown only now. Programs send it as: Authorization: Bearer " + row.prefix + "…")
