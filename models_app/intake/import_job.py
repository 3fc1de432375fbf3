"""Models that lie on this box's disks already: used where they are, linked into the folder for models, or, if asked for, copied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from django.conf import settings
from django.contrib.auth.models import User

from models_app import jobs
from models_app.catalog import register
from models_app.catalog.read_files import NotAModel, VariantFiles, explain, read_variant, readable_name, shown
from models_app.gguf import BadGguf
from models_app.intake import scan
from models_app.intake.names import Names, giving_names
from models_app.intake.part import Part, PartHeld
from models_app.intake.space import DiskSpace, free_bytes, is_full
from models_app.intake.spec import file_names, part_of
from models_app.jobs import Attempt, JobFailed, Wait
from models_app.models import Job, Variant

How = Literal["in_place", "link", "copy"]
FULL_DISK_SECONDS = 30.0
HELD_SECONDS = 5.0
MOST_FOUND = 1000
_BLOCK_BYTES = 1 << 20


class BadImport(ValueError):
    """The message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class ImportCandidate:
    """One model that was found."""

    path: Path
    """Of its first file."""
    name: str
    size_bytes: int
    n_files: int
    known_as: str | None
    """The variant that it is already, if any."""
    can_link: bool
    """Whether it lies on the disk that the folder for models is on."""


@dataclass(frozen=True, slots=True)
class Survey:
    candidates: tuple[ImportCandidate, ...]
    refused: dict[str, str]
    """GGUF files that cannot be used, with the reason as a phrase."""


def survey(path: Path) -> Survey:
    """What lies at `path`, a file or a folder. Reads headers and changes nothing. Raises BadImport."""
    folder = Path(settings.MODELS_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    own_disk = folder.stat().st_dev
    found: list[ImportCandidate] = []
    refused: dict[str, str] = {}
    for first in _firsts(path):
        try:
            files = read_variant(first)
        except (BadGguf, NotAModel, OSError) as error:
            refused[shown(first)] = explain(error)
            continue
        known = Variant.objects.filter(shards__path=str(files.files[0].path)).first()
        can_link = all(file.path.stat().st_dev == own_disk for file in files.files)
        found.append(
            ImportCandidate(
                files.files[0].path,
                readable_name(files),
                files.size_bytes,
                len(files.files),
                known.name if known else None,
                can_link,
            )
        )
    return Survey(tuple(found), refused)


def _firsts(path: Path) -> Iterator[Path]:
    if not path.is_absolute():
        raise BadImport("Give the whole path, beginning with /.")
    try:
        is_there, is_folder = path.exists(), path.is_dir()
    except OSError as error:
        raise BadImport(f"{path} cannot be looked at: {error.strerror or error}.") from None
    if not is_there:
        raise BadImport(f"There is nothing at {path}, or this program may not look there.")
    if is_folder:
        for number, first in enumerate(scan.first_files(path)):
            if number == MOST_FOUND:
                raise BadImport(f"More than {MOST_FOUND} models are below {path}. Choose a folder further down.")
            yield first
    else:
        yield path


def start_import(path: Path, how: str, user: User | None = None, name: str | None = None) -> Job:
    """Starts the job that brings in what `survey` finds at `path`. `name` is for a single model.

    Raises BadImport, and ValidationError for an unfit `name`.
    """
    if how not in get_args(How):
        raise BadImport("A model is used in place, linked or copied.")
    found = [each for each in survey(path).candidates if each.known_as is None]
    if not found:
        raise BadImport(f"No model was found at {path} that is not in the inventory already.")
    if name is not None and len(found) > 1:
        raise BadImport(f"{len(found)} models were found at {path}: they cannot all have one name.")
    if how == "link" and not all(each.can_link for each in found):
        raise BadImport(
            f"{path} lies on another disk than {settings.MODELS_DIR}, and a link cannot cross that. "
            "Use it in place, or have it copied."
        )
    with giving_names() as names:
        files = _named(found, name, names)
        what = files[0]["name"] if len(files) == 1 else f"{len(files)} models"
        return jobs.start("import", {"how": how, "files": files}, f"Import {what}", user)


def _named(found: list[ImportCandidate], name: str | None, names: Names) -> list[dict[str, str]]:
    """Two of the same file name in two folders get two names."""
    return [{"path": str(each.path), "name": names.take(name or each.name, each.n_files)} for each in found]


# the job ------------------------------------------------------------------------------------------------------


def run(attempt: Attempt) -> None:
    """The kind `import`. One model that fails does not keep the others out; the job then says so at its end."""
    how: How = attempt.spec["how"]
    sources = [(Path(each["path"]), each["name"]) for each in attempt.spec["files"]]
    failed: list[str] = []
    done_bytes = 0
    for path, name in sources:
        attempt.check()
        try:
            made = _bring(attempt, path, name, how, done_bytes)
        except _Unfit as unfit:
            failed.append(f"{path}: {unfit}.")
            attempt.line(failed[-1], "warning")
            continue
        done_bytes += made.size_bytes
        attempt.made(made)
        attempt.line(f"Added {made.name} from {path}.")
    if failed:
        raise JobFailed(" ".join(failed[:5]) + (f" And {len(failed) - 5} more." if len(failed) > 5 else ""))


class _Unfit(Exception):
    """Why one model could not be brought in, as a phrase."""


def _bring(attempt: Attempt, path: Path, name: str, how: How, before_bytes: int) -> Variant:
    try:
        found = read_variant(path)
        first, digests = _place(attempt, found, name, how, before_bytes)
        origin = register.Provenance(
            Variant.Origin.IMPORTED, files=tuple(register.FileOrigin(digest) for digest in digests)
        )
        return register.add_model(first, name=name, provenance=origin).variant
    except (BadGguf, NotAModel) as error:
        raise _Unfit(explain(error)) from None
    except register.NameTaken:
        raise _Unfit(f"another variant is called {name} by now") from None
    except OSError as error:
        if is_full(error):
            raise Wait("The disk is full. It goes on when there is room.", FULL_DISK_SECONDS) from None
        raise _Unfit(error.strerror or str(error)) from None


def _place(attempt: Attempt, found: VariantFiles, name: str, how: How, before_bytes: int) -> tuple[Path, list[str]]:
    """Where the first file is to be used, and the digests of all where they were learnt on the way."""
    sources = [file.path for file in found.files]
    if how == "in_place":
        return sources[0], []
    targets = [Path(settings.MODELS_DIR) / file for file in file_names(name, len(sources))]
    targets[0].parent.mkdir(parents=True, exist_ok=True)
    if how == "copy":
        return targets[0], _copy_all(attempt, sources, targets, before_bytes)
    for source, target in zip(sources, targets, strict=True):
        _link(source, target)
    return targets[0], []


def _link(source: Path, target: Path) -> None:
    """Raises OSError; a link that an earlier attempt made is fine."""
    try:
        os.link(source, target)
    except FileExistsError:
        if not os.path.samefile(source, target):
            raise


def _copy_all(attempt: Attempt, sources: list[Path], targets: list[Path], before_bytes: int) -> list[str]:
    """The digests of the copies."""
    sizes = [source.stat().st_size for source in sources]
    total = before_bytes + sum(sizes)
    missing = sum(size for size, target in zip(sizes, targets, strict=True) if not target.exists())
    room = DiskSpace(free_bytes(targets[0].parent), missing, settings.DISK_RESERVE_BYTES)
    if room.lacking_bytes:
        raise Wait(room.sentence(), FULL_DISK_SECONDS)
    digests = list(attempt.kept.get("digests", {}).get(str(targets[0]), []))
    for source, target, size in zip(sources, targets, sizes, strict=True):
        if not target.exists():
            digests.append(_copy(attempt, source, target, before_bytes, total))
            attempt.keep({"digests": {**attempt.kept.get("digests", {}), str(targets[0]): digests}})
        before_bytes += size
    return digests if len(digests) == len(targets) else []


def _copy(attempt: Attempt, source: Path, target: Path, before_bytes: int, total: int) -> str:
    with _part(target) as part, source.open("rb", buffering=0) as file:
        part.restart()
        while block := file.read(_BLOCK_BYTES):
            part.write(block)
            attempt.progress(before_bytes + part.size_bytes, total, f"Copying {target.name}")
        digest = part.sha256
        part.finish()
    return digest


@contextmanager
def _part(target: Path) -> Iterator[Part]:
    try:
        part = Part.open(target)
    except PartHeld:
        raise Wait(f"Something else is writing {part_of(target).name}.", HELD_SECONDS) from None
    try:
        yield part
    finally:
        part.close()


def discard(job: Job) -> None:
    """Removes links and copies that became no variant. What lay there before stays."""
    if job.spec["how"] == "in_place":
        return
    for each in job.spec["files"]:
        for target in _made_of(each["name"]):
            part_of(target).unlink(missing_ok=True)
            if not register.is_known(target):
                target.unlink(missing_ok=True)


def _made_of(name: str) -> list[Path]:
    folder = Path(settings.MODELS_DIR)
    whole = folder / f"{name}.gguf"
    split = {path.name.removesuffix(".part") for path in folder.glob(f"{name}-?????-of-?????.gguf*")}
    return [whole, *(folder / each for each in sorted(split))]
