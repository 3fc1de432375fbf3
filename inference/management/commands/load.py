"""Loads a variant and waits until it is resident."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from inference.core.loads.resident_id import ResidentId
from inference.host.api.client import HostClient, HostRefusal, HostUnavailable
from inference.host.api.messages import HostStatus, ResidentVariant, resident_id_of
from inference.management.rows import preview_row
from inference.web.crossing import ask_host
from inference.web.visibility.queries import visibility_at_the_console
from inference.wording import previews, refusals, waits
from inference.wording.names import Name
from models_app.audit import CHANGE, record
from models_app.catalog.variant_lookup import NoSuchVariant, find_variant
from models_app.units import format_bytes


class Command(BaseCommand):
    help = "Load a variant, evicting idle ones where needed, and wait until it is resident."
    requires_system_checks: list[str] = []  # noqa: RUF012  Django's own shape

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("variant", help="name or id")
        parser.add_argument("--preview", action="store_true", help="only say what loading would do now")
        parser.add_argument(
            "--anyway",
            action="store_true",
            help="before everybody who waits; busy variants finish their answers and leave (never beyond the budget)",
        )
        parser.add_argument("--json", action="store_true", help="print the resident variant, or the preview, as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            variant = find_variant(options["variant"])
        except NoSuchVariant as error:
            raise CommandError(no_such_variant(error)) from None
        say = (lambda line: None) if options["json"] else self.stdout.write
        name = visibility_at_the_console().name
        try:
            if options["preview"]:
                preview = ask_host.call(
                    lambda client: client.preview(variant.pk, options["anyway"]), within_seconds=None
                )
                row = json.dumps(preview_row(preview, name)) if options["json"] else previews.sentence(preview, name)
                self.stdout.write(row)
                return
            resident = ask_host.call(
                lambda client: _load(client, variant.pk, options["anyway"], say, name), within_seconds=None
            )
            record([variant], None, CHANGE, "Loaded, on the console.")
        except HostRefusal as refusal:
            raise CommandError(refusals.sentence(refusal.facts, refusal.resident_id, name)) from None
        except HostUnavailable as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(resident))
        else:
            held = f", {format_bytes(resident['reserved_bytes'])} reserved" if resident else ""
            self.stdout.write(self.style.SUCCESS(f"{variant.name} is resident{held}."))


def no_such_variant(error: NoSuchVariant) -> str:
    known = ", ".join(error.known) or "none yet: add one with manage.py add_model"
    return f"There is no variant {error}. Known: {known}."


def _of(status: HostStatus, resident_id: ResidentId) -> ResidentVariant | None:
    return next((each for each in status["residents"] if resident_id_of(each) == resident_id), None)


async def _load(client: HostClient, variant_id: int, anyway: bool, say: Any, name: Name) -> ResidentVariant | None:
    following = asyncio.ensure_future(_follow(client, variant_id, say, name))
    try:
        await client.load(variant_id, anyway)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    return _of(await client.status(), ResidentId(variant_id))


async def _follow(client: HostClient, variant_id: int, say: Any, name: Name) -> None:
    """Says what the load waits for, once per change and at most every tenth of the way."""
    said, wanted = "", ResidentId(variant_id)
    async for status in client.watch():
        resident = _of(status, wanted)
        waiting = [waits.of(each["wait"], name) for each in status["queue"] if resident_id_of(each) == wanted]
        if resident is not None and resident["state"] == "loading":
            line = f"loading {int((resident['fraction'] or 0.0) * 10) * 10} %"
        elif waiting:
            line = waiting[0]
        else:
            continue
        if line != said:
            say(line)
            said = line
