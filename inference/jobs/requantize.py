"""The kind `requantize`: another variant out of one that is there, by llama.cpp's quantize in a child process.

It grows in a folder of its own under the models' folder, hidden from whoever looks for models. Only what was checked and
whose every byte is on the disk gets a name, and only then a row.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings

from inference.core.planning.recipe import Outcome, requantized
from inference.engine.tools import quantize
from inference.engine.tools.quantize import AtTensor, QuantizeFailed
from inference.jobs.orders import Order
from models_app.catalog import register
from models_app.catalog.read_files import NotAModel, explain
from models_app.files import mode_for_models, sync_folder
from models_app.gguf import BadGguf, Header, read_files
from models_app.intake.space import DiskSpace, FreeBytes, free_bytes, is_full
from models_app.intake.spec import file_names
from models_app.jobs import Attempt, JobFailed, Wait
from models_app.models import Job, Variant
from models_app.units import format_bytes

MAKING = ".making"
FULL_DISK_SECONDS = 30.0
_BLOCK_BYTES = 4 << 20
_METADATA_BYTES = 1 << 20
"""By how much a result may differ from what the dry run told."""


def run(attempt: Attempt) -> None:
    """`attempt.spec` is an Order."""
    requantize(attempt, settings.MODELS_DIR)


def requantize(attempt: Attempt, folder: Path, *, free: FreeBytes = free_bytes) -> None:
    """Makes the variant, and its row. An attempt that was cut off begins anew, unless all was made and checked. Raises what a
    job may."""
    order = Order.from_json(attempt.spec)
    source = Variant.objects.filter(pk=order.source_id).first()
    if source is None:
        raise JobFailed("The variant that it was to be made of is gone from the inventory.")
    paths = [Path(path) for path in source.shards.order_by("number").values_list("path", flat=True)]
    names = file_names(order.name, len(paths) if order.recipe.keep_split else 1)
    try:
        making = _made(attempt, folder, names)
        if making is None:
            # Each attempt has a folder of its own: one that was taken for dead may still be tidying up.
            making = folder / MAKING / f"{attempt.job.pk}-{secrets.token_hex(4)}"
            _sweep(folder / MAKING, attempt.job.pk)
            digests = _make(attempt, order, paths, making, names, free)
            attempt.keep({"folder": making.name, "digests": digests})
        _place(attempt, order, source, folder, making, names)
    except OSError as error:
        if is_full(error):
            raise Wait("The disk is full. It goes on when there is room.", FULL_DISK_SECONDS) from None
        raise JobFailed(f"{error.filename or making} could not be written: {error.strerror or error}.") from None


def _made(attempt: Attempt, folder: Path, names: Sequence[str]) -> Path | None:
    """The folder where an earlier attempt has made all files; None where none has. Only their names and the row are missing."""
    if not attempt.kept.get("digests"):
        return None
    making = folder / MAKING / str(attempt.kept["folder"])
    return making if all((making / name).exists() or (folder / name).exists() for name in names) else None


def discard(job: Job) -> None:
    """Removes what the cancelled job left. A file that became a variant's is not its own any more."""
    for left in (settings.MODELS_DIR / MAKING).glob(f"{job.pk}-*"):
        shutil.rmtree(left, ignore_errors=True)
    order = Order.from_json(job.spec)
    if job.kept.get("digests"):
        for name in file_names(order.name, len(job.kept["digests"])):
            target = settings.MODELS_DIR / name
            if not register.is_known(target):
                target.unlink(missing_ok=True)


def _sweep(making: Path, own: int) -> None:
    """Removes what earlier attempts at this job left, and jobs that are over or forgotten."""
    if not making.is_dir():
        return
    others = {str(pk) for pk in Job.objects.filter(state__in=Job.ACTIVE).exclude(pk=own).values_list("pk", flat=True)}
    for left in making.iterdir():
        if left.name.partition("-")[0] not in others:
            shutil.rmtree(left, ignore_errors=True)


# making -------------------------------------------------------------------------------------------------------


def _make(
    attempt: Attempt, order: Order, paths: list[Path], making: Path, names: Sequence[str], free: FreeBytes
) -> list[str]:
    """Makes the files, checks them, and has them on the disk; the SHA-256 of each."""
    if not paths:
        raise JobFailed("The variant that it was to be made of has no files.")
    making.mkdir(mode=0o700, parents=True)
    try:
        expected = _expected(attempt, order, paths[0])
        room = _Room(making, expected.size_bytes, free)
        room.check(0)
        files = [making / name for name in names]
        _quantize(attempt, order, paths[0], files[0], room)
        _check(attempt, files[0], expected)
        return [_digest(attempt, file) for file in files]
    except BaseException:
        # Whatever comes next begins anew: what is half made only takes room.
        shutil.rmtree(making, ignore_errors=True)
        raise


def _expected(attempt: Attempt, order: Order, path: Path) -> Header:
    """The header of the file that is to come out."""
    attempt.progress(0, stage="Looking at what it takes")
    try:
        told = quantize.dry_run(path, [order.recipe], os.environ, has_imatrix=order.imatrix is not None)
        outcome: Outcome = told[order.recipe]
        header = requantized(read_files(path), outcome)
    except (QuantizeFailed, BadGguf) as error:
        raise JobFailed(str(error)) from None
    if outcome.needs_imatrix and order.imatrix is None:
        raise JobFailed(
            f"{order.recipe.type} needs an importance matrix: without one the result would be garbage. "
            "Give one, or compute one first."
        )
    return header


class _Room:
    """Whether the disk has room for what is still to come."""

    def __init__(self, folder: Path, total_bytes: int, free: FreeBytes) -> None:
        self._folder = folder
        self._total_bytes = total_bytes
        self._free = free

    def check(self, fraction: float) -> None:
        """Raises Wait. `fraction`: how much of it is there already."""
        to_come = int(self._total_bytes * (1 - fraction))
        room = DiskSpace(self._free(self._folder), to_come, settings.DISK_RESERVE_BYTES)
        if room.lacking_bytes:
            raise Wait(room.sentence(), FULL_DISK_SECONDS)


def _quantize(attempt: Attempt, order: Order, source: Path, target: Path, room: _Room) -> None:
    imatrix = None if order.imatrix is None else Path(order.imatrix)
    done = total = 0
    events = quantize.quantize(source, target, order.recipe, os.environ, imatrix=imatrix, n_threads=order.n_threads)
    try:
        for event in events:
            match event:
                case quantize.Started(n_bytes=n_bytes):
                    total = n_bytes
                    attempt.progress(0, total, stage="Quantizing")
                case AtTensor(done_bytes=done_bytes):
                    done = done_bytes
                    attempt.progress(done)
                case quantize.Finished(seconds=seconds):
                    attempt.line(f"Quantized {format_bytes(total)} in {seconds:.1f} seconds.")
                case None:
                    attempt.check()
                    room.check(done / total if total else 0.0)
    except QuantizeFailed as failed:
        if failed.disk_full:
            raise Wait("The disk is full. It goes on when there is room.", FULL_DISK_SECONDS) from None
        raise JobFailed(failed.detail) from None
    finally:
        events.close()


def _check(attempt: Attempt, first: Path, expected: Header) -> None:
    """That it is what the dry run told, and decodes."""
    attempt.progress(attempt.done, stage="Checking")
    try:
        found = read_files(first)
        for tick in quantize.check(first, os.environ):
            attempt.check()
            del tick
    except (BadGguf, QuantizeFailed) as error:
        raise JobFailed(f"What came out cannot be used, and is thrown away: {error}") from None
    wanted = {tensor.name: (tensor.type, tensor.shape) for tensor in expected.tensors}
    if {tensor.name: (tensor.type, tensor.shape) for tensor in found.tensors} != wanted:
        raise JobFailed("What came out is not what llama.cpp's dry run told, and is thrown away.")
    if abs(found.tensor_bytes - expected.tensor_bytes) > _METADATA_BYTES:
        raise JobFailed("What came out has not the size that llama.cpp's dry run told, and is thrown away.")


def _digest(attempt: Attempt, file: Path) -> str:
    """The SHA-256 of `file`, whose every byte is on the disk when it returns."""
    size_bytes = file.stat().st_size
    attempt.progress(0, size_bytes, stage="Writing to the disk")
    digest = hashlib.sha256()
    for block in _synced_blocks(file, attempt.check):
        digest.update(block)
        attempt.progress(attempt.done + len(block))
    return digest.hexdigest()


def _synced_blocks(file: Path, tick: Callable[[], Any]) -> Iterator[bytes]:
    with file.open("rb") as opened:
        tick()
        os.fsync(opened.fileno())
        while block := opened.read(_BLOCK_BYTES):
            yield block


# placing ------------------------------------------------------------------------------------------------------


def _place(attempt: Attempt, order: Order, source: Variant, folder: Path, making: Path, names: Sequence[str]) -> None:
    """Gives the files their names and the variant its row. Done again after any crash in it, it does what is left to do."""
    attempt.progress(attempt.done, stage="Adding it to the inventory")
    for name in names:
        if not (making / name).exists():
            continue
        if (folder / name).exists():
            shutil.rmtree(making, ignore_errors=True)
            raise JobFailed(f"Another file lies at {folder / name} already. Move it away, then try again.")
        (making / name).chmod(mode_for_models(folder))
        (making / name).rename(folder / name)
    sync_folder(folder)
    provenance = register.Provenance(
        Variant.Origin.QUANTIZED,
        repository=source.repository,
        made_from=source,
        recipe={
            **order.recipe.to_json(),
            "imatrix": None if order.imatrix is None else Path(order.imatrix).name,
            "engine": _engine_version(),
        },
        files=tuple(register.FileOrigin(digest) for digest in attempt.kept["digests"]),
    )
    try:
        variant = register.add_model(folder / names[0], name=order.name, provenance=provenance).variant
    except (BadGguf, NotAModel) as error:
        raise JobFailed(f"What came out cannot be used: {explain(error)}.") from None
    except register.NameTaken:
        raise JobFailed(f"Another variant is called {order.name} by now. Rename that one, then try again.") from None
    shutil.rmtree(making, ignore_errors=True)
    attempt.made(variant)


def _engine_version() -> str:
    from importlib import metadata

    return metadata.version("llama-cpp-python")
