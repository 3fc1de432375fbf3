"""Shows each process and each resident variant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from inference.host.api.client import HostNotTrusted, HostUnavailable
from inference.host.api.messages import HostStatus, ResidentVariant
from inference.management.rows import status_row
from inference.web.crossing import ask_host
from inference.web.visibility.queries import visibility_at_the_console
from models_app.first_start import what_is_missing
from models_app.units import format_bytes


class Command(BaseCommand):
    help = "Show the processes, what is resident and who waits."
    requires_system_checks: list[str] = []  # noqa: RUF012  Django's own shape

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print everything as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        processes = _processes(Path(settings.RUN_DIR) / "serve.json")
        try:
            host = ask_host.call(lambda client: client.status(), within_seconds=None)
        except HostNotTrusted as error:
            raise CommandError(str(error)) from None
        except HostUnavailable:
            host = None
        host_row = None if host is None else status_row(host, visibility_at_the_console().name)
        if options["json"]:
            self.stdout.write(json.dumps({"processes": processes, "host": host_row}))
            return
        for name, process in processes.items():
            restarts = f", {process['restarts']} restarts" if process.get("restarts") else ""
            self.stdout.write(f"{name:<8} {process.get('state', 'unknown'):<10} pid {process.get('pid')}{restarts}")
        if host is None or host_row is None:
            self.stdout.write(what_is_missing() or "No host answers. Start everything with make serve.")
        else:
            for line in _lines(host, host_row):
                self.stdout.write(line)


def _processes(path: Path) -> dict[str, Any]:
    """What `serve` wrote down; empty while it does not run."""
    try:
        processes = json.loads(path.read_text())["processes"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return processes if isinstance(processes, dict) else {}


def _lines(host: HostStatus, host_row: dict[str, Any]) -> list[str]:
    lines = [
        f"{each['name']:<8} {format_bytes(each['reserved_bytes'])} held of a budget of {format_bytes(each['budget_bytes'])}; "
        f"other programs use {format_bytes(each['foreign_bytes'])} of {format_bytes(each['capacity_bytes'])}"
        for each in host["devices"]
    ]
    if host["residents"]:
        rows: list[tuple[str, ...]] = [("VARIANT", "STATE", "SLOTS", "RESERVED", "MEMORY", "TOKENS/S", "NOTE")]
        rows += [_row(each) for each in host["residents"]]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
    else:
        lines.append("Nothing is resident.")
    lines += [
        f"waiting  {each['position']}. {each['user'] or 'load'} for {each['waiting_seconds']:.0f} s: {each['reason']}"
        for each in host_row["queue"]
    ]
    return lines


def _row(resident: ResidentVariant) -> tuple[str, ...]:
    notes = []
    if resident["pinned"]:
        notes.append("pinned")
    if resident["fraction"] is not None:
        notes.append(f"{resident['fraction']:.0%} loaded")
    if resident["mode"] == "completion":
        notes.append("completion mode")
    if resident["queued"]:
        notes.append(f"{resident['queued']} waiting")
    if resident["failure_detail"] is not None:
        notes.append(f"{resident['failure_detail']} ({resident['failures_in_a_row']} in a row)")
    return (
        resident["name"],
        resident["state"],
        f"{resident['slots_busy']}/{resident['n_seq_max']}",
        format_bytes(resident["reserved_bytes"]),
        "-" if resident["rss_bytes"] is None else format_bytes(resident["rss_bytes"]),
        f"{resident['tokens_per_second']:.1f}",
        ", ".join(notes),
    )
