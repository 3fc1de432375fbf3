"""The inventory's only writer of fact columns and shards: adds what is on the disk, marks what has gone, loses neither.

Blocks on the disk and the database. Owners' wishes are never touched.
"""

from __future__ import annotations

import importlib.metadata
import os
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.audit import ADDITION, CHANGE, note
from models_app.catalog.read_files import (
    NotAModel,
    VariantFiles,
    columns,
    explain,
    is_text,
    read_variant,
    readable_name,
    shown,
)
from models_app.downloads.leftovers import nobodys, remove_leftovers
from models_app.gguf import BadGguf, shard_paths
from models_app.models import RESERVED_NAMES, Repository, Shard, Variant, validate_variant_name

DEFAULT_N_CTX_SEQ = 4096
LEAST_N_CTX_SEQ = 64


class NameTaken(ValueError):
    def __init__(self, name: str) -> None:
        super().__init__(f"another variant is called {name}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Added:
    variant: Variant
    created: bool
    """False: the file was known, and its facts were read again."""


@dataclass(frozen=True, slots=True)
class FileOrigin:
    """Of one file: the digest its bytes were just found to have, and its path in the Hub repository, if any."""

    sha256: str = ""
    remote_path: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a variant comes from. `files`: in the order of its shards, or empty where nothing is known of them."""

    origin: Variant.Origin
    repository: Repository | None = None
    """None: the folder, or the package, that the file lies in."""
    revision: str = ""
    made_from: Variant | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    files: tuple[FileOrigin, ...] = ()


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


# adding -------------------------------------------------------------------------------------------------------


def add_model(path: Path, *, name: str | None = None, provenance: Provenance | None = None) -> Added:
    """Registers the GGUF at `path`, any file of a split one, where it lies. Adding it again only refreshes its facts.
    Whoever made or brought it tells its `provenance`.

    Raises BadGguf, NotAModel, NameTaken, OSError, and django's ValidationError for an unfit `name`.
    """
    if name is not None:
        validate_variant_name(name)
    found = read_variant(path)
    for _ in range(5):
        known = _known(found.files[0].path)
        try:
            if known is not None:
                return Added(_refresh(known, found, name, provenance), created=False)
            return Added(_create(found, name, provenance), created=True)
        except IntegrityError:
            if name is not None and Variant.objects.filter(name=name).exclude(pk=known.pk if known else None).exists():
                raise NameTaken(name) from None
    raise RuntimeError(f"{path} could not be added: another process keeps adding variants of the same name")


def is_known(path: Path) -> bool:
    """Whether that file is a variant's."""
    return Shard.objects.filter(path=str(path)).exists()


def _known(path: Path) -> Variant | None:
    return Variant.objects.filter(shards__path=str(path)).first() if is_text(str(path)) else None


@transaction.atomic
def _create(found: VariantFiles, name: str | None, provenance: Provenance | None) -> Variant:
    facts = columns(found)
    n_ctx_train = facts["n_ctx_train"] or DEFAULT_N_CTX_SEQ
    variant = Variant.objects.create(
        repository=_repository(found.files[0].path),
        name=name or _free_name(readable_name(found)),
        n_ctx_seq=max(LEAST_N_CTX_SEQ, min(DEFAULT_N_CTX_SEQ, n_ctx_train)),
        **facts,
    )
    _store_shards(variant, found)
    if provenance is not None:
        _store_provenance(variant, provenance)
    return variant


@transaction.atomic
def _refresh(
    variant: Variant, found: VariantFiles, name: str | None = None, provenance: Provenance | None = None
) -> Variant:
    changes: dict[str, Any] = {**columns(found), "missing_since": None, "problem": ""}
    if name is not None:
        changes["name"] = name
    Variant.objects.filter(pk=variant.pk).update(**changes)
    _store_shards(variant, found)
    if provenance is not None:
        _store_provenance(variant, provenance)
    variant.refresh_from_db()
    return variant


def _store_provenance(variant: Variant, provenance: Provenance) -> None:
    variant.origin = provenance.origin
    variant.repository = provenance.repository or variant.repository
    variant.revision = provenance.revision
    variant.made_from = provenance.made_from
    variant.recipe = provenance.recipe
    variant.save(update_fields=["origin", "repository", "revision", "made_from", "recipe"])
    for shard, file in zip(variant.shards.order_by("number"), provenance.files, strict=False):
        shard.sha256, shard.remote_path = file.sha256, file.remote_path
        shard.verified_at = timezone.now() if file.sha256 else None
        shard.save(update_fields=["sha256", "remote_path", "verified_at"])


def _store_shards(variant: Variant, found: VariantFiles) -> None:
    """Makes the shard rows say what `found` says; a digest stays only while its file does."""
    old = {shard.number: shard for shard in variant.shards.all()}
    for number, file in enumerate(found.files, start=1):
        shard = old.pop(number, None) or Shard(variant=variant, number=number)
        if (shard.size_bytes, shard.mtime_ns) != (file.size_bytes, file.mtime_ns):
            shard.sha256, shard.other_sha256, shard.verified_at = "", "", None
        shard.path, shard.size_bytes, shard.mtime_ns = str(file.path), file.size_bytes, file.mtime_ns
        shard.save()
    for shard in old.values():
        shard.delete()


def _free_name(name: str) -> str:
    stored = Variant.objects.filter(name__istartswith=name).values_list("name", flat=True)
    taken = RESERVED_NAMES | {taken.lower() for taken in stored}
    number, free = 1, name
    while free.lower() in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _repository(path: Path) -> Repository:
    package = _package(path)
    name, kind = (package, Repository.Kind.PACKAGE) if package else (str(path.parent), Repository.Kind.FOLDER)
    longest = Repository._meta.get_field("name").max_length or 0
    return Repository.objects.get_or_create(name=name[-longest:], defaults={"kind": kind})[0]


def _package(path: Path) -> str | None:
    """The installed distribution that `path` came with."""
    try:
        top = path.relative_to(sysconfig.get_paths()["purelib"]).parts[0]
    except (ValueError, IndexError):
        return None
    owners = importlib.metadata.packages_distributions().get(top)
    return owners[0] if owners else top


# scanning -----------------------------------------------------------------------------------------------------


def scan_models(folder: Path) -> ScanReport:
    """Compares every variant with its files, and adds the GGUFs under `folder` that belong to none. Deletes no row.

    In the data folder's own models/ it also removes what downloads and the like left unfinished and nobody will finish.
    """
    report = ScanReport()
    is_own = folder.resolve() == Path(settings.MODELS_DIR).resolve()
    strangers = nobodys(_strangers(folder)) if is_own else list(_strangers(folder))
    for variant in Variant.objects.prefetch_related("shards").order_by("name"):
        _reconcile(variant, strangers, report)
    for path in strangers:
        if _known(path) is not None:
            continue
        try:
            made = add_model(path).variant
            note([made], None, ADDITION, f"A scan found {path}.")
            report.added.append(made.name)
        except (BadGguf, NotAModel, OSError) as error:
            report.refused[shown(path)] = explain(error)
    if is_own:
        report.leftovers = remove_leftovers(folder)
    return report


def _strangers(folder: Path) -> Iterator[Path]:
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


def _reconcile(variant: Variant, strangers: list[Path], report: ScanReport) -> None:
    shards = list(variant.shards.all())
    now = [_stat(shard.path) for shard in shards]
    if not shards or None in now:
        if _follow(variant, shards, strangers):
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
        _refresh(variant, read_variant(Path(shards[0].path)))
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
    note([variant], None, CHANGE, f"Found by a scan: {what}.")


def _stat(path: str | Path) -> tuple[int, int] | None:
    """Size and time of modification, None where the file is not."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _follow(variant: Variant, shards: Sequence[Shard], strangers: list[Path]) -> bool:
    """Finds files that were only moved: a stranger whose files have exactly the sizes and times that ours had."""
    wanted = [(shard.size_bytes, shard.mtime_ns) for shard in shards]
    if not wanted or any(mtime_ns is None for _, mtime_ns in wanted):
        return False
    for path in strangers:
        if [_stat(shard) for shard in shard_paths(path)] != wanted:
            continue
        try:
            _refresh(variant, read_variant(path))
        except (BadGguf, NotAModel, OSError):
            continue
        strangers.remove(path)
        return True
    return False
