"""A disk that is really full: a small file system of its own, and a look at its free bytes that always finds enough, so that it is
the kernel that refuses a write in the middle. Whatever came is kept or taken back, nothing is listed, and it goes on by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from inference.core.planning.recipe import Recipe
from inference.jobs.orders import Order
from models_app import jobs
from models_app.catalog.register import add_model
from models_app.intake.download_job import FULL_DISK_SECONDS
from models_app.intake.import_job import start_import
from models_app.intake.scan import scan_models
from models_app.models import Job, Variant
from tests.downloads.conftest import MIB, Box
from tests.downloads.test_uploading import Browser
from tests.gguf_builder import SHAPES, build
from tests.kills.mounts import CannotMount, SmallDisk, small_disk
from tests.kills.promised import requantized

FULL = "The disk is full. It goes on when there is room."
ROOMY_BYTES = 64 * MIB


@pytest.fixture
def disk(box: Box, settings: Any) -> Iterator[SmallDisk]:
    box.folder.mkdir()
    settings.DISK_RESERVE_BYTES = -(1 << 40)
    try:
        with small_disk(box.folder, 3 * MIB) as disk:
            yield disk
    except CannotMount as cannot:
        pytest.skip(f"no file system can be mounted here ({cannot}): as another user, try unshare -Urm make test")


def assert_it_waits(box: Box, job: Job) -> None:
    assert (job.state, job.reason) == (Job.State.WAITING, FULL)
    assert scan_models(box.folder).added == []
    assert not Variant.objects.filter(shards__path__startswith=str(box.folder)).exists()


def go_on(box: Box, job: Job) -> Job:
    """As the jobs process does by itself, when the time has come."""
    from models_app.jobs.runner import Runner

    due: list[int] = []
    runner = Runner("box", now=lambda: box.now, send=due.append)
    runner.sweep()
    assert due == [], "it waits"
    box.later(FULL_DISK_SECONDS)
    runner.sweep()
    assert due == [job.pk]
    runner.work(job.pk)
    job.refresh_from_db()
    return job


def test_a_download_goes_on_where_the_disk_ended(box: Box, disk: SmallDisk) -> None:
    sources = box.offer(split=3, pad_bytes=2 * MIB)
    job = box.run(box.start())
    assert_it_waits(box, job)
    here = sum(path.stat().st_size for path in box.folder.iterdir())
    assert here > 2 * MIB, "it was the disk that ended it"

    assert_it_waits(box, go_on(box, job))

    disk.resize(ROOMY_BYTES)
    box.hub.forget()
    box.assert_whole(go_on(box, job), sources)
    fetched = [each for each in box.hub.seen("cdn") if each.range is not None]
    assert fetched, "what was here was not fetched again"


def test_a_requantization_begins_anew_and_leaves_nothing_meanwhile(box: Box, disk: SmallDisk, tmp_path: Path) -> None:
    path = build(tmp_path / "source-F16.gguf", SHAPES["tiny-moe"], quantization="F16", body="random")
    source = add_model(path).variant
    job = jobs.start("requantize", Order(source.pk, "made-Q8_0", Recipe("Q8_0")).to_json(), "A test", variant=source)
    box.run(job)
    assert_it_waits(box, job)
    assert box.files() == []
    assert "Quantizing" in job.stage, "it had begun to write"

    assert_it_waits(box, go_on(box, job))

    disk.resize(ROOMY_BYTES)
    job = go_on(box, job)
    assert (job.state, job.reason) == (Job.State.DONE, "")
    assert job.variant is not None
    made = Path(job.variant.shards.get().path)
    assert made.read_bytes() == requantized(path, "Q8_0", tmp_path).read_bytes()
    assert box.files() == ["made-Q8_0.gguf"]


def test_a_copy_is_made_once_there_is_room(box: Box, disk: SmallDisk) -> None:
    path = build(box.remote / "one.gguf", SHAPES["tiny-moe"], body="random")
    job = box.run(start_import(path, "copy"))
    assert_it_waits(box, job)
    assert [name for name in box.files() if not name.endswith(".part")] == []

    disk.resize(ROOMY_BYTES)
    job = go_on(box, job)
    assert (job.state, job.reason) == (Job.State.DONE, "")
    assert job.variant is not None
    shard = job.variant.shards.get()
    assert shard.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert Path(shard.path).read_bytes() == path.read_bytes()
    assert box.files() == [Path(shard.path).name]


def test_a_piece_of_an_upload_that_does_not_fit_is_taken_back_and_sent_again(box: Box, disk: SmallDisk) -> None:
    path = build(box.remote / "mine-Q4_0.gguf", SHAPES["tiny-moe"], body="random")
    content = path.read_bytes()
    browser = Browser(User.objects.create_user("alice", is_staff=True))
    pk = browser.begin(path).json()["id"]
    offset, piece_bytes = 0, 300_000
    while (answer := browser.put(pk, 0, offset, content[offset : offset + piece_bytes])).status_code == 200:
        offset = answer.json()["offset"]
    assert answer.status_code == 507
    assert answer.json()["detail"] == (
        "The box's disk is full. Make room on the box, then choose the same files again: what has come of them is kept."
    )
    assert browser.client.get(f"/models/upload/{pk}/").json()["offsets"] == [offset]
    job = box.run(Job.objects.get(pk=pk))
    assert job.state == Job.State.WAITING

    disk.resize(ROOMY_BYTES)
    browser.send(pk, 0, path, offset)
    box.assert_whole(box.run(job), [path])
