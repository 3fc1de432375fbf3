"""The models folder, looked through: what is new, what is gone, what has moved."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from models_app.audit import ADDITION, CHANGE, record
from models_app.catalog.read_files import (
    NotAModel,
    explain,
    read_variant,
    shown,
)
from models_app.catalog.register import add_model, read_again, variant_at
from models_app.gguf import BadGguf, shard_paths
from models_app.intake.leftovers import orphaned_files, remove_leftovers
from models_app.models import Shard, Variant


@dataclass(slots=True)
class ScanReport:
    """Names of variants by what the scan found; paths that are no variants, with the reason."""

    added: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    """Names of unfinished files that no job was going to finish; they were removed."""
    refused: dict[str, str] = field(default_factory=dict)


def scan_models(folder: Path) -> ScanReport:
    """Compares every variant with its files, and adds the GGUFs under `folder` that belong to none. Deletes no row.

    In the data folder's own models/ it also removes what downloads and the like left unfinished and nobody will finish.
    """
    report = ScanReport()
    is_own = folder.resolve() == Path(settings.MODELS_DIR).resolve()
    unregistered = list(_unregistered_files(folder))
    if is_own:
        unregistered = orphaned_files(unregistered)
    for variant in Variant.objects.prefetch_related("shards").order_by("name"):
        _reconcile(variant, unregistered, report)
    for path in unregistered:
        if variant_at(path) is not None:
            continue
        try:
            made = add_model(path).variant
            record([made], None, ADDITION, f"A scan found {path}.")
            report.added.append(made.name)
        except (BadGguf, NotAModel, OSError) as error:
            report.refused[shown(path)] = explain(error)
    if is_own:
        report.leftovers = remove_leftovers(folder)
    return report


def _unregistered_files(folder: Path) -> Iterator[Path]:
    """First files of variants under `folder` that no row names."""
    known = set(Shard.objects.values_list("path", flat=True))
    return (first for first in first_files(folder) if str(first) not in known)


def first_files(folder: Path) -> Iterator[Path]:
    """Files named like GGUFs under `folder`, of split ones the first. Hidden files and folders are passed over."""
    seen: set[Path] = set()
    for parent, folders, names in os.walk(os.path.abspath(folder)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or not name.lower().endswith(".gguf"):
                continue
            first = shard_paths(Path(parent, name))[0]
            if first not in seen:
                seen.add(first)
                yield first


def _reconcile(variant: Variant, unregistered: list[Path], report: ScanReport) -> None:
    shards = list(variant.shards.all())
    now = [_stat(shard.path) for shard in shards]
    if not shards or None in now:
        if _follow(variant, shards, unregistered):
            report.moved.append(variant.name)
            _found(variant, "its files lie elsewhere now")
            return
        if Variant.objects.filter(pk=variant.pk, missing_since=None).update(missing_since=timezone.now()):
            _found(variant, "its files are missing")
        report.missing.append(variant.name)
        return
    known = [(shard.size_bytes, shard.mtime_ns) for shard in shards]
    is_damaged = now == known and any(shard.other_sha256 for shard in shards)
    if is_damaged and variant.missing_since is None:
        report.broken.append(variant.name)
        return
    if now == known and variant.missing_since is None and not variant.problem:
        report.unchanged.append(variant.name)
        return
    try:
        read_again(variant, read_variant(Path(shards[0].path)))
    except (BadGguf, NotAModel, OSError) as error:
        problem = explain(error)
        Variant.objects.filter(pk=variant.pk).update(problem=problem, missing_since=None)
        if variant.problem != problem:
            _found(variant, f"its files cannot be loaded: {problem}")
        report.broken.append(variant.name)
        return
    _found(variant, "its files have changed" if now != known else "its files are back")
    (report.changed if now != known else report.returned).append(variant.name)


def _found(variant: Variant, what: str) -> None:
    record([variant], None, CHANGE, f"Found by a scan: {what}.")


def _stat(path: str | Path) -> tuple[int, int] | None:
    """Size and time of modification, None where the file is not."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _follow(variant: Variant, shards: Sequence[Shard], unregistered: list[Path]) -> bool:
    """Finds files that were only moved: an unregistered one whose files have exactly the sizes and times that ours had."""
    wanted = [(shard.size_bytes, shard.mtime_ns) for shard in shards]
    if not wanted or any(mtime_ns is None for _, mtime_ns in wanted):
        return False
    for path in unregistered:
        if [_stat(shard) for shard in shard_paths(path)] != wanted:
            continue
        try:
            read_again(variant, read_variant(path))
        except (BadGguf, NotAModel, OSError):
            continue
        unregistered.remove(path)
        return True
    return False
