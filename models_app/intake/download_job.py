"""A download, as a job: all files of one variant, several at once, each resumed from where it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from models_app.catalog import register
from models_app.catalog.read_files import NotAModel, explain
from models_app.gguf import BadGguf
from models_app.hub.errors import Broken, HubError, RateLimited, Unreachable
from models_app.hub.wording import sentence
from models_app.intake import fetch, limit_setting
from models_app.intake.fetch import Fetch
from models_app.intake.part import QUARANTINE, PartHeld
from models_app.intake.rate_limiter import RateLimiter
from models_app.intake.source import OpenFile
from models_app.intake.space import DiskSpace, FreeBytes, free_bytes, is_full
from models_app.intake.spec import DownloadSpec, part_of
from models_app.jobs import Attempt, JobFailed, Retry, Wait
from models_app.models import Job, Repository, Variant
from models_app.units import format_bytes

FILES_AT_ONCE = 4
LOOK_SECONDS = 0.25
SYNC_SECONDS = 10.0
FULL_DISK_SECONDS = 30.0
HELD_SECONDS = 5.0
LIMIT_SECONDS = 1.0
"""How old the knowledge of the limit may be."""
STOP_SECONDS = 5.0


def run(attempt: Attempt) -> None:
    """The kind `download`. `attempt.spec` is a DownloadSpec."""
    from models_app.intake.hub_source import hub_source

    spec = DownloadSpec.from_json(attempt.spec)
    download(attempt, hub_source(spec.repository, spec.revision), settings.MODELS_DIR)


def download(
    attempt: Attempt, open_: OpenFile, folder: Path, *, free: FreeBytes = free_bytes, limit: RateLimiter | None = None
) -> None:
    """Fetches into `folder`, then adds the variant. Raises what a job may."""
    spec = DownloadSpec.from_json(attempt.spec)
    folder.mkdir(parents=True, exist_ok=True)
    total = spec.total_bytes
    attempt.progress(attempt.job.done, total, "Looking at what is there")
    if not attempt.job.reason:  # an attempt after a wait says nothing new
        attempt.line(_intent(spec, folder))
    with _fetching(attempt, spec, open_, folder, limit or _shared.limit) as fetches:
        for done_bytes in fetches:
            _shared.look()
            room = DiskSpace(free(folder), total - done_bytes, settings.DISK_RESERVE_BYTES)
            if room.lacking_bytes:
                raise Wait(room.sentence(), FULL_DISK_SECONDS)
    attempt.progress(total, total, "Adding it to the inventory")
    variant = _add(spec, folder)
    attempt.made(variant)
    attempt.line(f"{format_bytes(total)} came whole, with the SHA-256 of the Hub's record. Added as {variant.name}.")
    _forget_quarantined(spec, folder)


def _intent(spec: DownloadSpec, folder: Path) -> str:
    here = sum(part.stat().st_size for target in spec.targets(folder) if (part := part_of(target)).exists())
    n_files = len(spec.files)
    what = f"{format_bytes(spec.total_bytes)} in {n_files} files" if n_files > 1 else format_bytes(spec.total_bytes)
    resumed = f" Resuming at {format_bytes(here)}." if here else ""
    return f"Fetching {what} of {spec.repository} at {spec.revision[:12]}.{resumed}"


class _SharedLimit:
    """The limit that all downloads of this process share. Whoever runs one looks it up for all."""

    def __init__(self) -> None:
        self.limit = RateLimiter(None)
        self._looked_at = float("-inf")

    def look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= LIMIT_SECONDS:
            self._looked_at = now
            with suppress(DatabaseError):  # as it was, then
                self.limit.set(limit_setting.current_limit().bytes_per_second)


_shared = _SharedLimit()


def discard(job: Job) -> None:
    """Removes what the cancelled download left. A file that became a variant's is not its own any more."""
    spec = DownloadSpec.from_json(job.spec)
    for target in spec.targets(settings.MODELS_DIR):
        part_of(target).unlink(missing_ok=True)
        if not register.is_known(target):
            target.unlink(missing_ok=True)
    _forget_quarantined(spec, settings.MODELS_DIR)


def _forget_quarantined(spec: DownloadSpec, folder: Path) -> None:
    """What an earlier attempt put away proves nothing any more, and takes room."""
    for target in spec.targets(folder):
        for name in (target.name, part_of(target).name):
            (folder / QUARANTINE / name).unlink(missing_ok=True)


# fetching -----------------------------------------------------------------------------------------------------


class _Fetches:
    """The files of one attempt. Iterating gives the bytes that are there, several times a second, until all are."""

    def __init__(
        self, attempt: Attempt, fetches: list[Fetch], stopping: threading.Event, changed: threading.Event
    ) -> None:
        self._attempt = attempt
        self._fetches = fetches
        self._stopping = stopping
        self._changed = changed
        self._synced = list(attempt.kept.get("synced") or [0] * len(fetches))
        self._synced_at = time.monotonic()

    def __iter__(self) -> Iterator[int]:
        waiting = list(self._fetches)
        while True:
            self._changed.clear()
            for each in self._fetches:
                if each.error is not None:
                    raise _ending(each)
            at_work = [each for each in self._fetches if each not in waiting and not each.is_done]
            yield self._done_bytes
            while waiting and len(at_work) < FILES_AT_ONCE:
                at_work.append(waiting.pop(0))
                at_work[-1].start()
            if not at_work:
                return
            self._tell(at_work)
            self._sync()
            self._changed.wait(LOOK_SECONDS)

    @property
    def _done_bytes(self) -> int:
        return sum(each.done_bytes for each in self._fetches)

    def _tell(self, at_work: list[Fetch]) -> None:
        is_reading = any(each.is_reading for each in at_work)
        self._attempt.progress(self._done_bytes, stage="Checking what is there" if is_reading else "Downloading")

    def _sync(self) -> None:
        if time.monotonic() - self._synced_at >= SYNC_SECONDS:
            with suppress(DatabaseError):  # a note that is missing only makes a later attempt fetch more again
                self.keep()
            self._synced_at = time.monotonic()

    def keep(self) -> None:
        """Notes what a loss of power would not take. Raises DatabaseError, and as `Attempt.progress` does."""
        now = [each.sync() for each in self._fetches]
        self._synced = [before if n is None else n for before, n in zip(self._synced, now, strict=True)]
        self._attempt.keep({"boot": boot_id(), "synced": self._synced})

    def stop(self) -> None:
        """Ends all threads, and waits for them for a moment.

        One that does not end in time is left behind: it holds its file's lock, writes no further block, and ends with its
        connection.
        """
        self._stopping.set()
        for each in self._fetches:
            each.abort()
        for each in self._fetches:
            each.join(STOP_SECONDS)
        self._attempt.set_done(self._done_bytes)


@contextmanager
def _fetching(
    attempt: Attempt, spec: DownloadSpec, open_: OpenFile, folder: Path, limit: RateLimiter
) -> Iterator[_Fetches]:
    stopping, changed = threading.Event(), threading.Event()
    fetches = [
        Fetch(
            file,
            target,
            open_,
            trusted_bytes=trusted,
            limit=limit,
            stopping=stopping,
            ended=changed.set,
        )
        for file, target, trusted in zip(
            spec.files, spec.targets(folder), trusted_bytes(attempt.kept, spec, boot_id()), strict=True
        )
    ]
    together = _Fetches(attempt, fetches, stopping, changed)
    # Before the first byte: from here on a loss of power may leave holes.
    together.keep()
    try:
        yield together
    finally:
        together.stop()


def trusted_bytes(kept: dict[str, Any], spec: DownloadSpec, boot: str | None) -> list[int]:
    """How many bytes of each `.part` may be believed. Pure.

    All of them, unless the machine started anew meanwhile: what was not synced by then may be holes.
    """
    synced = kept.get("synced")
    if not synced or (boot is not None and kept.get("boot") == boot):
        return [file.size_bytes for file in spec.files]
    return [min(file.size_bytes, n_bytes) for file, n_bytes in zip(spec.files, synced, strict=True)]


@cache
def boot_id() -> str | None:
    """Another one after each start of the machine; None where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _ending(failed: Fetch) -> Exception:
    """What the job does about a file that could not be fetched."""
    match failed.error:
        case RateLimited(after_seconds=after_seconds) | Broken(after_seconds=after_seconds):
            return Retry(sentence(failed.error), after_seconds)
        case Unreachable():
            return Retry(sentence(failed.error))
        case fetch.EmptyBody(path=path):
            return Retry(f"The connection ended before a byte of {path} came.")
        case HubError():
            return JobFailed(sentence(failed.error))
        case fetch.NotAsRecorded(reason=reason):
            return JobFailed(reason)
        case PartHeld():
            return Wait(f"Something else is writing {part_of(failed.target).name}.", HELD_SECONDS)
        case fetch.Mismatch(file=file, where=where):
            return JobFailed(
                f"What came as {file.path} is not what the Hub's record says (SHA-256 {(file.sha256 or '')[:12]}…). It lies in "
                f"{QUARANTINE}/{where.name} and is not used. Try again; if that gives the same, the repository is broken."
            )
        case fetch.TargetExists(target=target):
            return JobFailed(f"Another file lies at {target} already. Move it away, then try again.")
        case OSError() as error if is_full(error):
            return Wait("The disk is full. It goes on when there is room.", FULL_DISK_SECONDS)
        case OSError() as error:
            return Retry(f"{part_of(failed.target).name} could not be written: {error.strerror or error}.")
        case error:
            assert error is not None
            return error


# afterwards ---------------------------------------------------------------------------------------------------


def _add(spec: DownloadSpec, folder: Path) -> Variant:
    repository = Repository.objects.get_or_create(name=spec.repository, defaults={"kind": Repository.Kind.HUB})[0]
    origin = register.Provenance(
        Variant.Origin.DOWNLOADED,
        repository=repository,
        revision=spec.revision,
        files=tuple(register.FileOrigin(file.sha256 or "", file.path) for file in spec.files),
    )
    targets = spec.targets(folder)
    try:
        return register.add_model(targets[0], name=spec.name, provenance=origin).variant
    except (BadGguf, NotAModel) as error:
        place = folder / QUARANTINE
        place.mkdir(mode=0o700, exist_ok=True)
        for target in targets:
            target.rename(place / target.name)
        raise JobFailed(
            f"It came as the Hub has it, but it cannot be used: {explain(error)}. It lies in {QUARANTINE}/."
        ) from None
    except register.NameTaken:
        raise JobFailed(f"Another variant is called {spec.name} by now. Rename that one, then try again.") from None
