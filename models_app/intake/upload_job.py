"""Models that a browser sends, in pieces, each at the offset where the last one ended: a broken connection loses one piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from models_app import jobs
from models_app.catalog import register
from models_app.catalog.read_files import NotAModel, explain
from models_app.gguf import BadGguf, ShardName
from models_app.hub.names import fault, local_name
from models_app.intake.names import giving_names
from models_app.intake.part import Part, PartHeld
from models_app.intake.space import DiskSpace, free_bytes, is_full
from models_app.intake.spec import file_names, part_of
from models_app.jobs import Attempt, JobFailed, Wait
from models_app.models import Job, Variant

PIECE_BYTES = 4 << 20
MOST_FILES = 100
LOOK_SECONDS = 60.0
ABANDONED = timedelta(days=7)
KIND = "upload"
_MAKE_ROOM = "Make room on the box, then choose the same files again: what has come of them is kept."
"""Nobody sends by himself what was refused."""


class BadUpload(ValueError):
    """The message is a sentence for a person."""


class WrongOffset(Exception):
    """A piece that does not begin where the file ends. `offset`: where it does."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


class NoRoom(Exception):
    """`sentence` says what is missing."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class OfferedFile:
    """A file as the browser tells of it."""

    name: str
    size_bytes: int


def start_upload(files: Sequence[OfferedFile], user: User) -> Job:
    """Starts the job that takes in one GGUF, or all shards of one in any order. Raises BadUpload, NoRoom.

    Asked again by the same person for the same files while they are on their way, returns that job.
    """
    ordered = _checked(files)
    specs = [{"file_name": file.name, "size_bytes": file.size_bytes} for file in ordered]
    total = sum(file.size_bytes for file in ordered)
    folder = Path(settings.MODELS_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    shard = ShardName.parse(ordered[0].name)
    wanted = local_name("", f"{shard.stem}.gguf" if shard else ordered[0].name)
    with giving_names() as names:
        for job in Job.objects.filter(kind=KIND, state__in=Job.ACTIVE, created_by=user):
            if job.spec["files"] == specs:
                return job
        room = DiskSpace(free_bytes(folder), total, settings.DISK_RESERVE_BYTES)
        if room.lacking_bytes:
            raise NoRoom(f"{room.shortage()} {_MAKE_ROOM}")
        name = names.take(wanted, len(ordered))
        return jobs.start(KIND, {"name": name, "files": specs}, f"Upload {name}", user, total=total)


def _checked(files: Sequence[OfferedFile]) -> list[OfferedFile]:
    """Sorts the files by shard. Raises BadUpload."""
    if not 0 < len(files) <= MOST_FILES:
        raise BadUpload(f"Choose one GGUF file, or all shards of one, at most {MOST_FILES}.")
    for file in files:
        if (reason := fault(file.name)) is not None or "/" in file.name:
            raise BadUpload(f"{file.name!r} is not taken: {reason or 'the name has a slash'}.")
        if not file.name.lower().endswith(".gguf"):
            raise BadUpload(f"{file.name} is not a GGUF file.")
        if file.size_bytes < 1:
            raise BadUpload(f"{file.name} is empty.")
    if len(files) == 1 and ShardName.parse(files[0].name) is None:
        return list(files)
    shards = {name.number: file for file in files if (name := ShardName.parse(file.name)) is not None}
    counts = {(name.stem, name.count) for file in files if (name := ShardName.parse(file.name)) is not None}
    if len(counts) != 1 or sorted(shards) != list(range(1, counts.pop()[1] + 1)) or len(shards) != len(files):
        raise BadUpload("These are not all shards of one model: choose every file from -00001-of-… on, and no other.")
    return [shards[number] for number in sorted(shards)]


def targets(job: Job) -> list[Path]:
    names = file_names(job.spec["name"], len(job.spec["files"]))
    return [Path(settings.MODELS_DIR) / name for name in names]


def offsets(job: Job) -> list[int]:
    """Bytes that are here, of each file."""
    found = []
    for target, file in zip(targets(job), job.spec["files"], strict=True):
        part = part_of(target)
        size = part.stat().st_size if part.exists() else file["size_bytes"] if target.exists() else 0
        found.append(min(size, file["size_bytes"]))
    return found


def add_piece(job: Job, number: int, offset: int, piece: bytes) -> int:
    """Stores one piece of file `number` (from 0); returns the offset after it. The last piece of the last file sends the job on its way.

    Raises WrongOffset, NoRoom, Held, BadUpload, OSError.
    """
    size_bytes = job.spec["files"][number]["size_bytes"]
    target = targets(job)[number]
    if offset + len(piece) > size_bytes:
        raise BadUpload("More was sent than the file has. Choose the file again.")
    if offsets(job)[number] == size_bytes:
        # The answer to the last piece was lost. The job may hold the file by now, or have taken it in.
        raise WrongOffset(size_bytes)
    room = DiskSpace(free_bytes(target.parent), len(piece), settings.DISK_RESERVE_BYTES)
    if room.lacking_bytes:
        raise NoRoom(f"{room.shortage()} {_MAKE_ROOM}")
    part = Part.open(target)
    try:
        after = part.append(offset, piece)
    except OSError as error:
        if not is_full(error):
            raise
        raise NoRoom(f"The box's disk is full. {_MAKE_ROOM}") from None
    finally:
        part.close()
    if after is None:
        raise WrongOffset(part_of(target).stat().st_size)
    here = offsets(job)
    jobs.set_done(job, sum(here))
    if sum(here) == sum(file["size_bytes"] for file in job.spec["files"]):
        jobs.resume_unrecorded(job)
    return after


# the job ------------------------------------------------------------------------------------------------------


def run(attempt: Attempt) -> None:
    """The kind `upload`: waits for the browser, then takes the files in."""
    job = attempt.job
    here, sizes = offsets(job), [file["size_bytes"] for file in job.spec["files"]]
    attempt.progress(sum(here), sum(sizes), "Arriving")
    if here != sizes:
        _check_abandoned(job)
        raise Wait("The browser has not sent all of it yet. To go on, choose the same file again.", LOOK_SECONDS)
    digests = [_take_in(attempt, target, size) for target, size in zip(targets(job), sizes, strict=True)]
    origin = register.Provenance(
        Variant.Origin.UPLOADED, files=tuple(register.FileOrigin(digest) for digest in digests)
    )
    try:
        attempt.made(register.add_model(targets(job)[0], name=job.spec["name"], provenance=origin).variant)
    except (BadGguf, NotAModel) as error:
        discard(job)
        raise JobFailed(f"What was sent cannot be used: {explain(error)}.") from None
    except register.NameTaken:
        raise JobFailed(
            f"Another variant is called {job.spec['name']} by now. Rename that one, then try again."
        ) from None


def _take_in(attempt: Attempt, target: Path, size_bytes: int) -> str:
    if target.exists():
        return ""
    try:
        part = Part.open(target)
    except PartHeld:
        raise Wait(f"Something else is writing {part_of(target).name}.", LOOK_SECONDS) from None
    try:
        part.resume(size_bytes, lambda _: attempt.check())
        digest = part.sha256
        part.finish()
        return digest
    finally:
        part.close()


def _check_abandoned(job: Job) -> None:
    touched = [part.stat().st_mtime for target in targets(job) if (part := part_of(target)).exists()]
    last = max([job.created_at.timestamp(), *touched])
    if timezone.now().timestamp() - last > ABANDONED.total_seconds():
        discard(job)
        raise JobFailed(f"Nothing came for {ABANDONED.days} days, so what was here of it was removed.")


def discard(job: Job) -> None:
    """Removes what came."""
    for target in targets(job):
        part_of(target).unlink(missing_ok=True)
        if not register.is_known(target):
            target.unlink(missing_ok=True)
