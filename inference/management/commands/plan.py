"""What loading a variant would take, on this machine or any other. Nothing is loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from inference.core.planning.cautions import Caution, cautions
from inference.core.planning.footprint import CannotTell
from inference.core.planning.placement import PlacedWay, Placement, place
from inference.core.planning.wishes import Wishes
from inference.core.scheduling.preview import Preview
from inference.host.api.client import HostRefusal, HostUnavailable
from inference.web.crossing import ask_host
from inference.web.plans.rows import plan_as_json
from inference.web.plans.what_if import unforeseen
from inference.web.visibility.queries import visibility_at_the_console
from inference.wishes import wishes_of
from inference.wording import previews
from inference.wording.placements import reason_of, sentence, unknown_reason
from models_app.catalog.read_files import NotAModel, explain, read_variant
from models_app.gguf import BadGguf, Header
from models_app.hardware import Budget, Device, Profile
from models_app.hardware.profile import BadAmount, parse_bytes
from models_app.hardware.stored import BadDevices
from models_app.machines.this_machine_row import UnknownProfile, profile_named, this_box, this_machine
from models_app.models import Variant
from models_app.units import format_bytes

_ELSEWISE = ("profile", "vram", "ram", "ram_bandwidth", "budget", "ctx", "slots")
"""Options with which this is no question about the box as it is."""
_DECIDED = ("n_gpu_layers", "n_cpu_moe", "n_ctx_seq", "n_seq_max", "n_ubatch", "type_k", "type_v")


class Command(BaseCommand):
    help = "Plan a variant, or a GGUF file, for this machine or another: bytes, speed and alternatives."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("variant", help="a variant's name, or the path of a GGUF file")
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--profile", help="a hardware profile's or a card's name; this machine without it")
        where.add_argument("--vram", help="memory of each GPU: 12GiB, or 12GiB,24GiB")
        parser.add_argument("--vram-bandwidth", help="of each GPU: 360GB/s, or 360GB/s,936GB/s")
        parser.add_argument("--ram", help="64GiB")
        parser.add_argument("--ram-bandwidth", help="60GB/s")
        parser.add_argument("--budget", help="what may be spent on each GPU, or on RAM without one: 11.5GiB or 90%%")
        parser.add_argument("--ctx", type=int, help="context of each slot, in tokens")
        parser.add_argument("--slots", type=int, help="answers at once")
        parser.add_argument("--json", action="store_true", help="print everything as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        row, header, wishes = _wanted(options)
        profile = _profile(options)
        placement: Placement | None = None
        said: list[tuple[Caution, ...]] = []
        try:
            placement = place(header, profile, wishes)
            said = [cautions(each, placement, header, profile, wishes) for each in placement.ways]
            reason = None if placement.shortfall is None else reason_of(placement.shortfall)
        except CannotTell as error:
            reason = unknown_reason(error)
        except Exception as error:
            raise CommandError(unforeseen(options["variant"], error).detail) from None
        found = [] if placement is None else list(placement.ways)
        preview = _preview(row.pk) if row is not None and not any(options[name] for name in _ELSEWISE) else None
        if options["json"]:
            pairs = list(zip(found, said, strict=True))
            leaving = {} if preview is None else _leaving(preview, found)
            self.stdout.write(json.dumps(plan_as_json(profile.name, pairs, reason, leaving)))
            return
        if reason is not None:
            self.stdout.write(reason)
        for line in _table(found):
            self.stdout.write(line)
        for caution in said[0] if said else ():
            self.stdout.write(f"- {sentence(caution)}")
        if preview is not None:
            self.stdout.write(f"- Now: {previews.sentence(preview, visibility_at_the_console().name)}")


def _preview(variant_id: int) -> Preview | None:
    """What loading it would do now; None where no host runs that could tell."""
    with suppress(HostUnavailable, HostRefusal):
        return ask_host.call(lambda client: client.preview(variant_id), within_seconds=None)
    return None


def _leaving(preview: Preview, found: Sequence[PlacedWay]) -> dict[PlacedWay, list[str]]:
    """Who would leave, for the way that the host would take. It looks at what is free now, so it may take another one."""
    taken = {} if preview.way is None else preview.way.options.to_json()
    name = visibility_at_the_console().name
    names = [name(each.resident_id) for each in (*preview.evicts, *preview.waits_for)]
    for each in found:
        # Without a GPU the host says nothing of layers.
        if all(taken.get(name) in (None, getattr(each, name)) for name in _DECIDED) and taken:
            return {each: names}
    return {}


def _wanted(options: dict[str, Any]) -> tuple[Variant | None, Header, Wishes]:
    """The variant, where it is one and no file. Three ways to fail, all worded for a person: CommandError."""
    wishes = Wishes()
    path = Path(options["variant"])
    # A file is planned without asking the database: it works before anything is set up.
    row = None if path.is_file() else Variant.objects.filter(name=options["variant"]).first()
    if row is not None:
        shard = row.shards.order_by("number").first()
        if shard is None:
            raise CommandError(f"{row.name} has no files.")
        path = Path(shard.path)
        wishes = wishes_of(row)
    elif not path.exists():
        raise CommandError(f"{options['variant']} is neither a variant nor a file.")
    try:
        header = read_variant(path).header
    except (BadGguf, NotAModel, OSError) as error:
        raise CommandError(f"{path.name} cannot be planned: {explain(error)}.") from None
    if options["ctx"] is not None:
        # Asked for by hand, it is meant: nothing shorter.
        n_ctx_seq = _within("--ctx", options["ctx"], 64, 4_194_304)
        wishes = replace(wishes, n_ctx_seq=n_ctx_seq, least_n_ctx_seq=None)
    if options["slots"] is not None:
        wishes = replace(wishes, n_seq_max=_within("--slots", options["slots"], 1, 64))
    return row, header, wishes


def _within(name: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise CommandError(f"{name} must be from {least} to {most}.")
    return value


def _profile(options: dict[str, Any]) -> Profile:
    try:
        profile = _named(options["profile"]) if options["profile"] else None
        if profile is None:
            told = options["vram"] and options["ram"] and options["ram_bandwidth"]
            profile = Profile("as given", Device("RAM", "ram", 1)) if told else this_box()
        if options["vram"]:
            profile = replace(profile, name="as given", gpus=_gpus(options["vram"], options["vram_bandwidth"]))
        elif options["vram_bandwidth"]:
            raise CommandError("--vram-bandwidth goes with --vram.")
        ram = profile.ram
        if options["ram"]:
            ram = replace(ram, memory_bytes=parse_bytes(options["ram"]), budget=None)
        if options["ram_bandwidth"]:
            ram = replace(ram, bandwidth_bytes_per_second=parse_bytes(options["ram_bandwidth"]))
        profile = replace(profile, ram=ram)
        if options["budget"]:
            budget = Budget.parse(options["budget"])
            if profile.gpus:
                return replace(profile, gpus=tuple(replace(gpu, budget=budget) for gpu in profile.gpus))
            return replace(profile, ram=replace(profile.ram, budget=budget))
        return profile
    except (BadAmount, BadDevices) as bad:
        raise CommandError(str(bad)) from None


def _named(name: str) -> Profile:
    if name == this_machine().name:
        return this_box()
    try:
        return profile_named(name)
    except UnknownProfile:
        raise CommandError(f"There is no hardware profile and no known card named {name!r}.") from None


def _gpus(sizes: str, bandwidths: str | None) -> tuple[Device, ...]:
    memory = [parse_bytes(size) for size in sizes.split(",")]
    speeds = [parse_bytes(speed) for speed in bandwidths.split(",")] if bandwidths else [None] * len(memory)
    if len(speeds) == 1:
        speeds = speeds * len(memory)
    if len(speeds) != len(memory):
        raise CommandError("--vram and --vram-bandwidth name different numbers of GPUs.")
    return tuple(
        Device(f"GPU {number}", "gpu", size, speed)
        for number, (size, speed) in enumerate(zip(memory, speeds, strict=True))
    )


def _table(ways: list[PlacedWay]) -> list[str]:
    if not ways:
        return []
    rows = [("", "GPU LAYERS", "EXPERTS IN RAM", "CONTEXT", "KV", "BATCH", "TOKENS/S", "PREFILL/S", "MEMORY")]
    for number, each in enumerate(ways, start=1):
        memory = ", ".join(
            f"{device.name} {format_bytes(device.total_bytes)} of {format_bytes(device.budget_bytes)}"
            for device in each.devices
        )
        rows.append(
            (
                str(number),
                f"{each.n_gpu_layers}/{each.n_layers + 1}",
                str(each.n_cpu_moe or "-"),
                f"{each.n_seq_max} x {each.n_ctx_seq}",
                each.type_k,
                str(each.n_ubatch),
                f"{each.speed.decode_tokens_per_second:.1f}",
                f"{each.speed.prefill_tokens_per_second:.0f}",
                memory,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
