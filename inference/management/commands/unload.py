"""Unloads a variant and waits until its worker has ended."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from inference.host.api.client import HostRefusal, HostUnavailable
from inference.management.commands.load import no_such_variant
from inference.web.crossing import ask_host
from inference.wording import refusals
from models_app.audit import CHANGE, record
from models_app.catalog.variant_lookup import NoSuchVariant, find_variant


class Command(BaseCommand):
    help = "Unload a variant: running answers finish first. A pinned one goes too."
    requires_system_checks: list[str] = []  # noqa: RUF012  Django's own shape

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("variant", help="name or id")
        parser.add_argument("--json", action="store_true", help="print the outcome as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            variant = find_variant(options["variant"])
        except NoSuchVariant as error:
            raise CommandError(no_such_variant(error)) from None
        if not options["json"]:
            self.stdout.write(f"unloading {variant.name}; running answers finish first")
        try:
            ask_host.call(lambda client: client.unload(variant.pk), within_seconds=None)
            record([variant], None, CHANGE, "Unloaded, on the console.")
        except HostRefusal as refusal:
            raise CommandError(refusals.sentence(refusal.facts, refusal.resident_id, lambda _: variant.name)) from None
        except HostUnavailable as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps({"variant_id": variant.pk, "name": variant.name, "state": "absent"}))
        else:
            self.stdout.write(self.style.SUCCESS(f"{variant.name} is unloaded."))
