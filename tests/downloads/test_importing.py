"""Models that are on a disk already: used in place, linked, or copied when that is asked for; never silently."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from models_app import jobs
from models_app.catalog.register import add_model
from models_app.intake.import_job import BadImport, start_import, survey
from models_app.models import Job, Variant
from tests.downloads.conftest import Box
from tests.gguf_builder import SHAPES, build


def test_a_look_tells_what_would_be_brought_in(box: Box, tmp_path: Path) -> None:
    build(box.remote / "one.gguf", SHAPES["tiny-gqa"])
    build(box.remote / "three.gguf", SHAPES["tiny-mla"], split=3)
    add_model(build(box.remote / "known.gguf", SHAPES["tiny-moe"]))
    (box.remote / "bad.gguf").write_bytes(b"no model")
    found = survey(box.remote)
    assert [(each.name, each.n_files, each.known_as, each.can_link) for each in found.candidates] == [
        ("known-Q4_0", 1, "known-Q4_0", True),
        ("one-Q4_0", 1, None, True),
        ("three-Q4_0", 3, None, True),
    ]
    assert list(found.refused) == [str(box.remote / "bad.gguf")]
    assert Variant.objects.count() == 1


def test_in_place_leaves_the_files_where_they_are(box: Box) -> None:
    path = build(box.remote / "one.gguf", SHAPES["tiny-gqa"])
    job = box.run(start_import(path, "in_place"))
    assert (job.state, job.reason) == (Job.State.DONE, "")
    assert job.variant is not None
    assert (job.variant.origin, job.variant.shards.get().path) == (Variant.Origin.IMPORTED, str(path))
    assert box.files() == []


def test_a_link_takes_no_room(box: Box) -> None:
    first = build(box.remote / "one.gguf", SHAPES["tiny-gqa"], split=2)
    job = box.run(start_import(first, "link", name="mine"))
    assert job.state == Job.State.DONE
    assert box.files() == ["mine-00001-of-00002.gguf", "mine-00002-of-00002.gguf"]
    assert (box.folder / "mine-00001-of-00002.gguf").samefile(first)


def test_a_copy_knows_its_digest(box: Box) -> None:
    path = build(box.remote / "one.gguf", SHAPES["tiny-gqa"], body="random")
    job = box.run(start_import(path, "copy"))
    assert (job.state, job.done, job.total) == (Job.State.DONE, path.stat().st_size, path.stat().st_size)
    assert job.variant is not None
    shard = job.variant.shards.get()
    assert shard.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not Path(shard.path).samefile(path)
    assert Path(shard.path).read_bytes() == path.read_bytes()


def test_a_folder_is_brought_in_as_far_as_it_can_be(box: Box) -> None:
    for name in ("one", "two"):
        build(box.remote / f"{name}.gguf", SHAPES["tiny-gqa"])
    job = start_import(box.remote, "link")
    (box.remote / "one.gguf").write_bytes(b"gone bad since")
    box.run(job)
    assert job.state == Job.State.FAILED
    assert "one.gguf" in job.reason
    assert [variant.name for variant in Variant.objects.all()] == ["two-Q4_0"]


def test_two_files_of_one_name_get_two(box: Box) -> None:
    for number, folder in enumerate(("a", "b")):
        (box.remote / folder).mkdir()
        build(box.remote / folder / "same.gguf", SHAPES["tiny-gqa"], seed=number)
    assert box.run(start_import(box.remote, "link")).state == Job.State.DONE
    assert box.files() == ["same-Q4_0-2.gguf", "same-Q4_0.gguf"]


@pytest.mark.parametrize(("path", "how"), [("relative.gguf", "link"), ("/nowhere/at/all", "link"), ("/", "teleport")])
def test_what_cannot_be_imported_is_said_before_anything_is_done(box: Box, path: str, how: str) -> None:
    with pytest.raises(BadImport):
        start_import(Path(path), how)
    assert not Job.objects.exists()


def test_a_file_that_is_no_model_is_refused(box: Box) -> None:
    (box.remote / "bad.gguf").write_bytes(b"no model")
    with pytest.raises(BadImport, match="No model was found"):
        start_import(box.remote / "bad.gguf", "link")


def test_a_cancelled_import_leaves_what_was_there(box: Box) -> None:
    path = build(box.remote / "one.gguf", SHAPES["tiny-gqa"])
    job = start_import(path, "copy")
    box.folder.mkdir(exist_ok=True)
    box.part("one-Q4_0.gguf").write_bytes(b"begun")
    assert jobs.cancel(job)
    box.run(job)
    assert job.state == Job.State.CANCELLED
    assert box.files() == []
    assert path.exists()
