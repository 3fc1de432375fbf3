"""The kind `imatrix`: an importance matrix of a variant, for quantizing it, computed by a worker that a lease is taken of.

The worker is one of its own, under the budget like any other: it waits, sends away and is refused by the same rules, and goes
with the lease.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from pathlib import Path

from django.conf import settings

from inference.engine.protocol import Chunk
from inference.host.client import HostClient, WorkerRefusal
from inference.jobs.leasing import FULL_DISK_SECONDS, Waiting, ended_by_the_host, waited
from inference.jobs.ticking import ticking
from inference.texts import TEXT
from models_app.job import Job
from models_app.jobs import Failed, Running, Wait
from models_app.models import Variant

FOLDER = "imatrix"
MOST_CHUNKS = 100
MOST_CHARACTERS = 2 << 20
"""Of a text: far more than MOST_CHUNKS take, and a message of bounded length."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def imatrix_path(variant_name: str) -> Path:
    return Path(settings.MODELS_DIR) / FOLDER / f"{variant_name}.imatrix.gguf"


def run(running: Running) -> None:
    """`running.spec`: `variant_id`, `name` of the file, and `text`, a path; None: the shipped text. Begins anew after any end."""
    variant = Variant.objects.filter(pk=running.spec["variant_id"]).first()
    if variant is None:
        raise Failed("The variant whose importance matrix was wished for is gone from the inventory.")
    if variant.trouble:
        raise Failed(variant.trouble)
    source = Path(running.spec["text"]) if running.spec.get("text") else TEXT
    text = _text(source)
    target = imatrix_path(running.spec["name"])
    part = _part(target)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        with ended_by_the_host():
            _make(running, variant, text, source.name, part)
        _keep(part, target)
    except OSError as error:
        if error.errno in _FULL:
            raise Wait("The disk is full. It goes on when there is room.", FULL_DISK_SECONDS) from None
        raise Failed(f"{error.filename or target} could not be written: {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)
    running.line(f"Written to {target}.")
    running.made(variant)


def discard(job: Job) -> None:
    _part(imatrix_path(job.spec["name"])).unlink(missing_ok=True)


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _text(path: Path) -> str:
    """Raises Failed."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MOST_CHARACTERS)
    except UnicodeDecodeError:
        raise Failed(f"{path.name} is no text in UTF-8.") from None
    except OSError as error:
        raise Failed(f"{path} cannot be read: {error.strerror or error}.") from None


def _keep(part: Path, target: Path) -> None:
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.rename(target)


def _make(running: Running, variant: Variant, text: str, dataset: str, part: Path) -> None:
    """Raises what the host's client does, OSError, and what a job may."""
    running.progress(0, stage=f"Waiting for {variant.name}")
    try:
        with closing(ticking(_turn(variant.pk, running.job.pk, text, dataset, part))) as events:
            for event in events:
                match event:
                    case Waiting(reason=reason):
                        running.progress(0, stage=f"Waiting for {variant.name}: {reason}"[:200])
                    case None:
                        running.check()
                    case chunk:
                        running.progress(chunk["done"], chunk["total"], f"Reading {dataset}")
    except WorkerRefusal as refusal:
        if refusal.facts.get("errno") in _FULL:
            raise OSError(refusal.facts["errno"], refusal.detail) from None
        raise


async def _turn(
    variant_id: int, job_id: int, text: str, dataset: str, part: Path
) -> AsyncGenerator[Waiting | Chunk, None]:
    """One lease, in which `part` is written. Touches no database."""
    request_id = f"imatrix-{job_id}-{uuid.uuid4().hex[:8]}"
    async with HostClient(settings.HOST_SOCKET).lease(
        variant_id=variant_id, user="imatrix", kind="batch", request_id=request_id, purpose="imatrix"
    ) as lease:
        async with aclosing(waited(lease)) as waiting:
            async for event in waiting:
                yield event
        made = lease.imatrix(request_id=request_id, text=text, dataset=dataset, most_chunks=MOST_CHUNKS, path=str(part))
        async with aclosing(made) as chunks:
            async for chunk in chunks:
                yield chunk
