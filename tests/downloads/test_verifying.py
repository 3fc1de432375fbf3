"""Files that are hashed again, and leftovers that a scan removes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from models_app import jobs
from models_app.catalog.register import add_model
from models_app.intake.leftovers import YOUNG_SECONDS
from models_app.intake.part import Part
from models_app.intake.scan import scan_models
from models_app.intake.verify_job import start_verify
from models_app.models import Job, Shard, Variant
from tests.downloads.conftest import Box
from tests.gguf_builder import SHAPES, build


@pytest.fixture
def variant(box: Box) -> Variant:
    return add_model(build(box.remote / "one.gguf", SHAPES["tiny-gqa"], body="random")).variant


def rot(path: Path) -> None:
    """Changes one byte as a disk does: neither size nor time tell."""
    stat = path.stat()
    with path.open("r+b") as file:
        file.seek(-10, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-10, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_the_first_verification_learns_the_digest(box: Box, variant: Variant) -> None:
    job = box.run(start_verify(variant))
    assert (job.state, job.done) == (Job.State.DONE, variant.size_bytes)
    shard = variant.shards.get()
    assert shard.sha256 == hashlib.sha256(Path(shard.path).read_bytes()).hexdigest()
    assert shard.verified_at is not None


def test_a_file_that_rotted_is_not_offered_until_it_is_sound_again(box: Box, variant: Variant) -> None:
    box.run(start_verify(variant))
    path = Path(variant.shards.get().path)
    rot(path)
    job = box.run(start_verify(variant))
    assert job.state == Job.State.FAILED
    assert "one.gguf no longer has the digest it had" in job.reason
    variant.refresh_from_db()
    assert not variant.is_usable
    assert scan_models(box.remote).broken == [variant.name], "a look at the header does not forget it"
    variant.refresh_from_db()
    assert not variant.is_usable
    rot(path)
    assert box.run(start_verify(variant)).state == Job.State.DONE
    variant.refresh_from_db()
    assert variant.is_usable
    assert scan_models(box.remote).unchanged == [variant.name]


def test_a_file_that_was_replaced_is_read_anew(box: Box, variant: Variant) -> None:
    box.run(start_verify(variant))
    path = Path(variant.shards.get().path)
    rot(path)
    box.run(start_verify(variant))
    os.utime(path, ns=(1, 1))
    assert scan_models(box.remote).changed == [variant.name]
    variant.refresh_from_db()
    assert variant.is_usable
    assert Shard.objects.get().sha256 == ""


def test_a_file_that_is_gone_is_said(box: Box, variant: Variant) -> None:
    job = start_verify(variant)
    Path(variant.shards.get().path).unlink()
    assert "could not be read" in box.run(job).reason


def test_a_variant_that_is_gone_is_said(box: Box, variant: Variant) -> None:
    job = start_verify(variant)
    variant.delete()
    assert box.run(job).reason == "The variant is no longer in the inventory."


def test_who_asks_twice_waits_for_the_same_verification(variant: Variant) -> None:
    assert start_verify(variant).pk == start_verify(variant).pk


# leftovers ----------------------------------------------------------------------------------------------------


def leave(box: Box, name: str, age_seconds: float = YOUNG_SECONDS * 2) -> Path:
    box.folder.mkdir(exist_ok=True)
    path = box.folder / name
    path.write_bytes(b"begun")
    then = path.stat().st_mtime - age_seconds
    os.utime(path, (then, then))
    return path


def test_a_scan_removes_what_nobody_will_finish(box: Box) -> None:
    leave(box, "orphan.gguf.part")
    leave(box, "split-00002-of-00003.gguf.part")
    assert scan_models(box.folder).leftovers == ["orphan.gguf.part", "split-00002-of-00003.gguf.part"]
    assert box.files() == []


def test_a_scan_leaves_what_a_job_may_finish(box: Box) -> None:
    box.offer()
    job = box.start()
    leave(box, "tiny.gguf.part")
    Job.objects.update(state=Job.State.FAILED)
    assert scan_models(box.folder).leftovers == []
    assert jobs.retry(job)
    assert jobs.cancel(job)
    box.run(job)
    leave(box, "tiny.gguf.part")
    assert scan_models(box.folder).leftovers == ["tiny.gguf.part"]


def test_a_scan_does_not_take_what_a_job_is_about_to_add(box: Box) -> None:
    (source,) = box.offer()
    job = box.start()
    box.folder.mkdir()
    (box.folder / "tiny.gguf").write_bytes(source.read_bytes())
    assert scan_models(box.folder).added == []
    Job.objects.update(state=Job.State.FAILED)
    assert scan_models(box.folder).added == ["tiny-Q4_0"], "nobody else will"
    assert job.variant is None


def test_a_scan_leaves_what_is_being_written(box: Box) -> None:
    leave(box, "young.gguf.part", age_seconds=0)
    leave(box, "held.gguf.part")
    part = Part.open(box.folder / "held.gguf")
    assert scan_models(box.folder).leftovers == []
    part.close()


def test_a_scan_of_somebody_elses_folder_removes_nothing(box: Box) -> None:
    path = box.remote / "theirs.gguf.part"
    path.write_bytes(b"begun")
    os.utime(path, (1, 1))
    assert scan_models(box.remote).leftovers == []
    assert path.exists()
