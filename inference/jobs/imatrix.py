"""The kind `imatrix`: a leased worker computes an importance matrix of a variant, for quantizing it.

The worker is one of its own, under the budget like any other: it waits, sends away and is refused by the same rules, and goes
with the lease. A lease is for a part of the text; the next one is asked for before it is given back, so that the worker
stays unless somebody else needs its room meanwhile. What was read is kept: whatever ends an attempt, the next one goes on.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from inference.host.api.client import HostClient, Lease, WorkerRefusal
from inference.jobs.leasing import FULL_DISK_SECONDS, Waiting, ended_by_the_host, waited
from inference.jobs.stages import WAITING, waiting
from inference.jobs.texts import TEXT
from inference.jobs.ticking import ticking
from models_app.files import sync_folder
from models_app.gguf import BadGguf, read_files
from models_app.jobs import Attempt, JobFailed, Wait
from models_app.models import Job, Variant

FOLDER = "imatrix"
MOST_CHUNKS = 100
MOST_CHARACTERS = 2 << 20
"""Of a text: far more than MOST_CHUNKS take, and a message of bounded length."""
PART_SECONDS = 20.0
"""Whoever needs the worker's room waits so long, and for the chunk that is being read."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def imatrix_path(variant_name: str) -> Path:
    return Path(settings.MODELS_DIR) / FOLDER / f"{variant_name}.imatrix.gguf"


def run(attempt: Attempt) -> None:
    """`attempt.spec`: `variant_id`, `name` of the file, and `text`, a path; None: the shipped text."""
    variant = Variant.objects.filter(pk=attempt.spec["variant_id"]).first()
    if variant is None:
        raise JobFailed("The variant whose importance matrix was wished for is gone from the inventory.")
    shard = variant.shards.order_by("number").first()
    if shard is None or variant.unusable_reason:
        raise JobFailed(variant.unusable_reason or f"{variant.name} has no files.")
    target = imatrix_path(attempt.spec["name"])
    source = Path(attempt.spec["text"]) if attempt.spec.get("text") else TEXT
    try:
        text = _text(source)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        read = _read_before(attempt, target, [source, Path(shard.path)])
        with ended_by_the_host(attempt):
            _read_on(attempt, variant, _Text(text, source.name), target, read)
        _part(target).rename(target)
        sync_folder(target.parent)
    except JobFailed:
        _discard(target)
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise Wait("The disk is full. It goes on when there is room.", FULL_DISK_SECONDS) from None
        _discard(target)
        raise JobFailed(f"{error.filename or target} could not be written: {error.strerror or error}.") from None
    finally:
        _next(target).unlink(missing_ok=True)
    attempt.line(f"Written to {target}.")
    attempt.made(variant)


def discard(job: Job) -> None:
    _discard(imatrix_path(job.spec["name"]))


def _discard(target: Path) -> None:
    for path in (_part(target), _next(target)):
        path.unlink(missing_ok=True)


def _part(target: Path) -> Path:
    """The matrix of all that was read so far."""
    return target.with_name(f"{target.name}.part")


def _next(target: Path) -> Path:
    """The same with one part of the text more, while it is being written."""
    return target.with_name(f"{target.name}.next")


def _text(path: Path) -> str:
    """Raises JobFailed, OSError."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MOST_CHARACTERS)
    except UnicodeDecodeError:
        raise JobFailed(f"{path.name} is no text in UTF-8.") from None
    except OSError as error:
        raise JobFailed(f"{path} cannot be read: {error.strerror or error}.") from None


# reading ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    name: str


@dataclass(frozen=True, slots=True)
class Read:
    """How much of the text is in a file."""

    n_chunks: int
    total: int


@dataclass(frozen=True, slots=True)
class Written:
    """The next part's file is written, up to here."""

    read: Read


Event = Waiting | Read | Written


def _read_before(attempt: Attempt, target: Path, sources: list[Path]) -> Read | None:
    """What earlier attempts have read, of the same text with the same file. Raises OSError."""
    stats = [path.stat() for path in sources]
    identity = " ".join(f"{each.st_size}:{each.st_mtime_ns}" for each in stats)
    total = attempt.kept.get("total")
    if attempt.kept.get("of") == identity and total:
        # The file tells how much it holds: an attempt may have ended before it could be noted.
        with suppress(BadGguf, FileNotFoundError):
            n_chunks = read_files(_part(target)).integer("imatrix.chunk_count")
            if n_chunks is not None:
                return Read(n_chunks, total)
    _part(target).unlink(missing_ok=True)
    attempt.keep({"of": identity})
    return None


def _read_on(attempt: Attempt, variant: Variant, text: _Text, target: Path, read: Read | None) -> None:
    """Raises what the host's client does, OSError, and what a job may."""
    done, total = (read.n_chunks, read.total) if read else (0, None)
    attempt.progress(done, total, WAITING, waiting(variant))
    try:
        with closing(ticking(_parts(variant.pk, attempt.job.pk, text, target, read))) as events:
            for event in events:
                match event:
                    case Waiting(event=wait):
                        attempt.progress(attempt.done, stage=WAITING, about=waiting(variant, wait))
                    case Read():
                        attempt.progress(event.n_chunks, event.total, f"Reading {text.name}")
                    case Written():
                        _keep(attempt, target, event.read)
                    case None:
                        attempt.check()
    except WorkerRefusal as refusal:
        if refusal.facts.get("errno") in _FULL:
            raise OSError(refusal.facts["errno"], refusal.detail) from None
        raise


def _keep(attempt: Attempt, target: Path, read: Read) -> None:
    """The next part's file becomes the one to go on from."""
    with _next(target).open("rb") as written:
        os.fsync(written.fileno())
    if attempt.kept.get("total") != read.total:
        attempt.keep({**attempt.kept, "total": read.total})
    _next(target).replace(_part(target))


async def _parts(
    variant_id: int, job_id: int, text: _Text, target: Path, read: Read | None
) -> AsyncGenerator[Event, None]:
    """Lease by lease, until the whole text is read. Each Written is to be kept before the next event. Touches no database."""
    request_id = f"imatrix-{job_id}-{uuid.uuid4().hex[:8]}"
    client = HostClient(settings.HOST_SOCKET)
    held: AsyncExitStack | None = None
    async with AsyncExitStack() as leases:
        while read is None or read.n_chunks < read.total:
            following = await leases.enter_async_context(AsyncExitStack())
            asking = client.lease(
                variant_id=variant_id, user="imatrix", kind="batch", request_id=request_id, purpose="imatrix"
            )
            lease = await following.enter_async_context(asking)
            async with aclosing(waited(lease)) as waiting:
                async for event in waiting:
                    if held is None:
                        yield event
                    else:
                        # It stands in the queue: given back any sooner, the worker would go with the last one's lease.
                        await held.aclose()
                        held = None
            if held is not None:
                await held.aclose()
            async with aclosing(_part_of(lease, request_id, text, target, read)) as reading:
                async for progress in reading:
                    read = progress
                    yield progress
            assert read is not None
            held = following
            yield Written(read)


async def _part_of(
    lease: Lease, request_id: str, text: _Text, target: Path, read: Read | None
) -> AsyncGenerator[Read, None]:
    path = _next(target)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    progress: dict[str, Any] = {} if read is None else {"first_chunk": read.n_chunks, "earlier": str(_part(target))}
    chunks = lease.imatrix(
        request_id=request_id,
        text=text.text,
        dataset=text.name,
        most_chunks=MOST_CHUNKS,
        path=str(path),
        seconds=PART_SECONDS,
        **progress,
    )
    async with aclosing(chunks):
        async for chunk in chunks:
            yield Read(chunk["done"], chunk["total"])
