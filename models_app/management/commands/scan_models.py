"""manage.py scan_models [FOLDER]: makes the inventory and the disk agree."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.intake import scan

_SENTENCES = {
    "added": "Added {}.",
    "moved": "Found again elsewhere: {}.",
    "returned": "Back again: {}.",
    "changed": "Changed on the disk, facts refreshed: {}.",
    "missing": "Missing: {}. Kept in the inventory; scan again when the files are back.",
    "broken": "Cannot be loaded as it is: {}.",
    "leftovers": "Removed what was left unfinished: {}.",
}


class Command(BaseCommand):
    help = "Adds GGUF files under a folder that are not in the inventory, and marks variants whose files have gone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, nargs="?", help="default: models/ in the data folder")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, folder: Path | None, json: bool, **options: Any) -> None:
        if folder is not None and not folder.is_dir():
            raise CommandError(f"{folder} is not a folder.")
        report = scan.scan_models(folder or settings.MODELS_DIR)
        self.stdout.write(_as_json(report) if json else _as_text(report))


def _as_json(report: scan.ScanReport) -> str:
    return json.dumps(asdict(report))


def _as_text(report: scan.ScanReport) -> str:
    found = asdict(report)
    lines = [sentence.format(name) for kind, sentence in _SENTENCES.items() for name in found[kind]]
    lines += [f"Not added: {path}: {reason}." for path, reason in report.refused.items()]
    lines.append(f"Unchanged: {len(report.unchanged)}.")
    return "\n".join(lines)
