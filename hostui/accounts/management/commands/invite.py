from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.urls import reverse

from hostui.accounts.models import INVITATION_DAYS, Invitation
from hostui.http.addresses import base_urls


class Command(BaseCommand):
    help = "Prints a link with which one person makes an account."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--admin", action="store_true", help="the account will be an administrator's")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        invitation, token = Invitation.issue(is_superuser=options["admin"])
        link = base_urls()[0] + reverse("claim", args=[token])
        if options["json"]:
            self.stdout.write(json.dumps({"link": link, "expires_at": invitation.expires_at.isoformat()}))
        else:
            self.stdout.write(link)
            self.stderr.write(f"Works once, for {INVITATION_DAYS} days.")
