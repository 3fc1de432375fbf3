"""The inventory's only writer of fact columns and shards: adds what is on the disk, marks what has gone, loses neither.

Blocks on the disk and the database. Owners' wishes are never touched.
"""

from __future__ import annotations

import importlib.metadata
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.catalog.read_files import (
    VariantFiles,
    is_text,
    read_variant,
    readable_name,
    variant_columns,
)
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
    """One file's digest, as its bytes were just found to have it, and its path on the Hub, if any."""

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


# adding -------------------------------------------------------------------------------------------------------


def add_model(path: Path, *, name: str | None = None, provenance: Provenance | None = None) -> Added:
    """Registers the GGUF at `path`, any file of a split one, where it lies.

    Adding it again only refreshes its facts. Whoever made or brought it passes its `provenance`.

    Raises BadGguf, NotAModel, NameTaken, OSError, and django's ValidationError for an unfit `name`.
    """
    if name is not None:
        validate_variant_name(name)
    found = read_variant(path)
    for _ in range(5):
        known = variant_at(found.files[0].path)
        try:
            if known is not None:
                return Added(read_again(known, found, name, provenance), created=False)
            return Added(_create(found, name, provenance), created=True)
        except IntegrityError:
            others = Variant.objects.all() if known is None else Variant.objects.exclude(pk=known.pk)
            if name is not None and others.filter(name=name).exists():
                raise NameTaken(name) from None
    raise RuntimeError(f"{path} could not be added: another process keeps adding variants of the same name")


def is_known(path: Path) -> bool:
    """Whether that file is a variant's."""
    return Shard.objects.filter(path=str(path)).exists()


def variant_at(path: Path) -> Variant | None:
    return Variant.objects.filter(shards__path=str(path)).first() if is_text(str(path)) else None


@transaction.atomic
def _create(found: VariantFiles, name: str | None, provenance: Provenance | None) -> Variant:
    facts = variant_columns(found)
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
def read_again(
    variant: Variant, found: VariantFiles, name: str | None = None, provenance: Provenance | None = None
) -> Variant:
    changes: dict[str, Any] = {**variant_columns(found), "missing_since": None, "problem": ""}
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
