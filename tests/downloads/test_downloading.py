"""A download comes whole or not at all, whatever the Hub, the disk and people do meanwhile."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from models_app import jobs
from models_app.catalog.register import add_model
from models_app.hub.names import RemoteFile
from models_app.hub.session import RemoteBody
from models_app.intake.download_job import FULL_DISK_SECONDS, download
from models_app.intake.hub_source import hub_source
from models_app.intake.part import Part
from models_app.intake.rate_limiter import RateLimiter
from models_app.intake.scan import scan_models
from models_app.intake.start_download import AlreadyInInventory, NoDigest, start_download
from models_app.jobs import Attempt, kinds
from models_app.models import Job, Repository, Variant
from tests.downloads.conftest import MIB, NAME, Box
from tests.gguf_builder import SHAPES, build
from tests.hub import (
    CaptivePortal,
    Cut,
    NoRanges,
    ServerError,
    Slow,
    Stall,
    TooManyRequests,
    WrongBytes,
    WrongDigest,
    WrongSize,
)


def test_a_variant_comes_with_its_provenance(box: Box) -> None:
    (source,) = box.offer()
    job = box.start()
    assert (job.title, job.total) == ("Download tiny from owner/tiny-GGUF", source.stat().st_size)
    variant = box.assert_whole(box.run(job), [source])
    assert (job.done, job.total) == (source.stat().st_size, source.stat().st_size)
    assert (variant.name, variant.origin) == ("tiny", Variant.Origin.DOWNLOADED)
    assert (variant.repository.name, variant.repository.kind) == (NAME, Repository.Kind.HUB)
    assert variant.revision == box.hub.repositories[NAME].head
    shard = variant.shards.get()
    assert shard.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert shard.remote_path == source.name
    assert shard.verified_at is not None


def test_shards_come_side_by_side(box: Box) -> None:
    sources = box.offer(split=3)
    variant = box.assert_whole(box.run(box.start()), sources)
    assert [Path(shard.path).name for shard in variant.shards.all()] == [
        f"tiny-0000{number}-of-00003.gguf" for number in (1, 2, 3)
    ]


def test_a_connection_that_is_cut_is_followed_by_another_from_there(box: Box) -> None:
    (source,) = box.offer()
    box.hub.faults.add(Cut(after_bytes=MIB), Cut(after_bytes=MIB // 2))
    job = box.run(box.start())
    box.assert_whole(job, [source])
    assert box.ranges() == [None, f"bytes={MIB}-", f"bytes={MIB * 3 // 2}-"]
    assert job.attempts == 0


def test_a_hub_that_cuts_every_connection_at_once_is_not_asked_in_a_loop(box: Box) -> None:
    box.offer()
    box.hub.faults.add(Cut(after_bytes=10, times=None))
    job = box.run(box.start())
    assert (job.state, len(box.ranges())) == (Job.State.WAITING, 1)
    box.hub.faults.clear()
    box.later(60)
    assert box.run(job).state == Job.State.DONE


def test_an_answer_without_a_byte_is_asked_for_again_later(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def silent(path: str, start: int) -> Iterator[RemoteBody]:
        yield RemoteBody(start, None, iter(()))

    box.offer()
    job = box.start()
    monkeypatch.setattr("models_app.intake.hub_source.hub_source", lambda *_: silent)
    assert box.run(job).state == Job.State.WAITING
    assert job.reason == "The connection ended before a byte of tiny-Q4_0.gguf came."


def test_what_an_earlier_attempt_brought_is_not_fetched_again(box: Box) -> None:
    (source,) = box.offer()
    job = box.start()
    box.folder.mkdir()
    box.part().write_bytes(source.read_bytes()[: MIB + 17])
    box.assert_whole(box.run(job), [source])
    assert box.ranges() == [f"bytes={MIB + 17}-"]


def test_a_part_that_is_whole_is_only_looked_at(box: Box) -> None:
    (source,) = box.offer()
    job = box.start()
    box.folder.mkdir()
    box.part().write_bytes(source.read_bytes() + b"and something that is not its own")
    box.assert_whole(box.run(job), [source])
    assert box.ranges() == []


def test_a_restart_of_the_machine_costs_what_was_not_synced(box: Box) -> None:
    (source,) = box.offer()
    box.hub.faults.add(Stall(after_bytes=MIB))
    job = box.start()
    thread = box.run_beside(job)
    box.wait_until_part_has(MIB)
    assert jobs.pause(job)
    thread.join()
    job.refresh_from_db()
    assert job.kept["synced"] == [0], "a pause is no loss of power"
    Job.objects.filter(pk=job.pk).update(kept={"boot": "an earlier one", "synced": [MIB // 2]})
    with box.part().open("r+b") as part:
        part.seek(MIB // 2)
        part.write(bytes(MIB // 2))
    assert jobs.resume(job)
    box.assert_whole(box.run(job), [source])
    assert box.ranges()[-1] == f"bytes={MIB // 2}-"


def test_a_server_without_ranges_sends_everything_again(box: Box) -> None:
    (source,) = box.offer()
    box.hub.faults.add(NoRanges())
    job = box.start()
    box.folder.mkdir()
    box.part().write_bytes(source.read_bytes()[:MIB])
    box.assert_whole(box.run(job), [source])


@pytest.mark.parametrize("split", [1, 3])
def test_wrong_bytes_are_put_away_and_said_and_never_listed(box: Box, split: int) -> None:
    sources = box.offer(split=split)
    box.hub.faults.add(WrongBytes(at=MIB, path=sources[-1].name, times=1))
    job = box.run(box.start())
    assert job.state == Job.State.FAILED
    assert f"What came as {sources[-1].name} is not what the Hub's record says" in job.reason
    wrong = "tiny.gguf.part" if split == 1 else "tiny-00003-of-00003.gguf.part"
    assert f".quarantine/{wrong}" in job.reason
    assert f".quarantine/{wrong}" in box.files()
    assert not scan_models(box.folder).added
    assert not Variant.objects.exists()
    assert jobs.retry(job)
    box.assert_whole(box.run(job), sources)


def test_a_part_that_rotted_is_found_out(box: Box) -> None:
    (source,) = box.offer()
    job = box.start()
    box.folder.mkdir()
    box.part().write_bytes(bytes(MIB))
    assert box.run(job).state == Job.State.FAILED
    assert jobs.retry(job)
    box.run(job)
    assert job.state == Job.State.DONE
    assert (box.folder / "tiny.gguf").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("delta_bytes", [-1000, 1000])
def test_a_record_that_lies_about_the_size_is_found_out(box: Box, delta_bytes: int) -> None:
    box.offer()
    box.hub.faults.add(WrongSize(delta_bytes=delta_bytes))
    job = box.run(box.start())
    assert job.state == Job.State.FAILED
    assert "the Hub's record says" in job.reason
    assert not Variant.objects.exists()


def test_a_record_that_lies_about_the_digest_is_found_out(box: Box) -> None:
    box.offer()
    box.hub.faults.add(WrongDigest())
    job = box.run(box.start())
    assert job.state == Job.State.FAILED
    assert "(SHA-256 000000000000…)" in job.reason
    assert box.files() == [".quarantine/tiny.gguf.part"]


def test_a_hub_that_asks_for_patience_is_given_it(box: Box) -> None:
    (source,) = box.offer()
    job = box.start()
    box.hub.faults.add(TooManyRequests(where="resolve", retry_after_seconds=120))
    box.run(job)
    assert job.state == Job.State.WAITING
    assert job.run_after is not None
    assert (job.run_after - box.now).total_seconds() == 120
    box.later(120)
    box.assert_whole(box.run(job), [source])


def test_a_hub_in_trouble_is_asked_again_later(box: Box) -> None:
    (source,) = box.offer()
    job = box.start()
    box.hub.faults.add(ServerError(where="cdn", status=502))
    assert box.run(job).state == Job.State.WAITING
    assert "502" in job.reason
    box.later(60)
    box.assert_whole(box.run(job), [source])


def test_a_hotels_page_is_no_model(box: Box) -> None:
    box.offer()
    job = box.start()
    box.hub.faults.add(CaptivePortal(where="resolve"))
    box.run(job)
    assert job.state == Job.State.FAILED
    assert "is not a Hub" in job.reason


def test_a_repository_that_has_gone_is_said(box: Box) -> None:
    box.offer()
    job = box.start()
    del box.hub.repositories[NAME]
    box.run(job)
    assert job.state == Job.State.FAILED
    assert NAME in job.reason


def test_what_is_no_model_is_put_away(box: Box) -> None:
    path = build(box.remote / "projector.gguf", SHAPES["tiny-gqa"], metadata={"general.type": "mmproj"})
    box.hub.add(NAME, {path.name: path})
    job = box.run(box.start())
    assert job.state == Job.State.FAILED
    assert "a vision or audio projector" in job.reason
    assert box.files() == [".quarantine/tiny.gguf"]


# people -------------------------------------------------------------------------------------------------------


def test_a_download_that_stalls_is_paused_and_goes_on_from_there(box: Box) -> None:
    (source,) = box.offer()
    box.hub.faults.add(Stall(after_bytes=MIB))
    job = box.start()
    thread = box.run_beside(job)
    box.wait_until_part_has(MIB)
    assert jobs.pause(job)
    thread.join()
    job.refresh_from_db()
    assert (job.state, job.done) == (Job.State.PAUSED, MIB)
    assert jobs.resume(job)
    box.assert_whole(box.run(job), [source])
    assert box.ranges() == [None, f"bytes={MIB}-"]


def test_a_cancelled_download_leaves_nothing(box: Box) -> None:
    box.offer(split=2)
    box.hub.faults.add(Stall(path="*-00002-*", after_bytes=MIB))
    job = box.start()
    thread = box.run_beside(job)
    box.wait_until_part_has(MIB, "tiny-00002-of-00002.gguf")
    assert jobs.cancel(job)
    thread.join()
    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED
    assert box.files() == []


def test_who_asks_again_is_shown_the_same_job(box: Box) -> None:
    box.offer()
    assert box.start().pk == box.start().pk


def test_who_asks_again_after_a_failure_has_the_same_job_tried_again(box: Box) -> None:
    (source,) = box.offer()
    job = box.start()
    box.hub.faults.add(CaptivePortal(where="resolve"))
    assert box.run(job).state == Job.State.FAILED
    again = box.start()
    assert again.pk == job.pk
    box.assert_whole(box.run(again), [source])


def test_what_is_here_is_not_fetched_again(box: Box) -> None:
    box.offer()
    box.run(box.start())
    with pytest.raises(AlreadyInInventory) as here:
        box.start()
    assert here.value.variant.name == "tiny"


def test_a_name_that_is_taken_or_promised_gets_a_number(box: Box) -> None:
    add_model(build(box.remote / "other.gguf", SHAPES["tiny-moe"]), name="Tiny")
    box.offer()
    box.offer(name="another/tiny-GGUF", pad_bytes=3)
    assert box.start().spec["name"] == "tiny-2"
    assert box.start(repository="another/tiny-GGUF").spec["name"] == "tiny-3"


def test_a_file_without_a_digest_is_not_begun(db: None) -> None:
    with pytest.raises(NoDigest):
        start_download(NAME, "0" * 40, "tiny", [RemoteFile("tiny.gguf", 10, None)])


@contextmanager
def downloading(box: Box, **how: Any) -> Iterator[None]:
    """Downloads as told, instead of as this machine would."""

    def run(attempt: Attempt) -> None:
        open_ = hub_source(attempt.spec["repository"], attempt.spec["revision"])
        download(attempt, open_, box.folder, **how)

    kind = kinds.kind_named("download")
    assert kind is not None
    kinds.register("download", run)
    try:
        yield
    finally:
        kinds.register("download", kind.run, kind.at_once, kind.discard)


# the disk -----------------------------------------------------------------------------------------------------


def test_a_disk_without_room_is_waited_for_before_anything_is_fetched(box: Box, settings: Any) -> None:
    (source,) = box.offer()
    settings.DISK_RESERVE_BYTES = 1 << 60
    job = box.run(box.start())
    assert job.state == Job.State.WAITING
    assert job.reason.startswith("The disk is too full: ")
    assert box.ranges() == []
    settings.DISK_RESERVE_BYTES = 0
    box.later(FULL_DISK_SECONDS)
    box.assert_whole(box.run(job), [source])


def test_a_disk_that_fills_up_meanwhile_pauses_the_download(box: Box) -> None:
    (source,) = box.offer()
    box.hub.faults.add(Stall(after_bytes=MIB))
    free = iter([1 << 40, 1 << 40, 0])
    with downloading(box, free=lambda _: next(free, 1 << 40)):
        job = box.run(box.start())
        assert job.state == Job.State.WAITING
        assert "is too full" in job.reason
        box.later(FULL_DISK_SECONDS)
        box.assert_whole(box.run(job), [source])


def test_a_limit_holds_for_all_files_together(box: Box) -> None:
    sources = box.offer(split=2, pad_bytes=MIB)
    total = sum(source.stat().st_size for source in sources)
    with downloading(box, limit=RateLimiter(4 * total)):
        began = time.monotonic()
        box.assert_whole(box.run(box.start()), sources)
        # What one block brings is only waited for before the next.
        assert time.monotonic() - began > 0.25 * 0.7


def test_a_file_has_one_writer(box: Box) -> None:
    (source,) = box.offer()
    job = box.start()
    box.folder.mkdir()
    other = Part.open(box.folder / "tiny.gguf")
    other.write(source.read_bytes()[:100])
    assert box.run(job).state == Job.State.WAITING
    assert job.reason == "Something else is writing tiny.gguf.part."
    assert box.part().stat().st_size == 100
    other.close()
    box.later(60)
    box.assert_whole(box.run(job), [source])


def test_an_attempt_that_died_after_its_last_step_is_recognised(box: Box) -> None:
    (source,) = box.offer()
    job = box.start()
    box.folder.mkdir()
    (box.folder / "tiny.gguf").write_bytes(source.read_bytes())
    scan_models(box.folder)
    variant = box.assert_whole(box.run(job), [source])
    assert (variant.name, variant.origin) == ("tiny", Variant.Origin.DOWNLOADED)
    assert box.ranges() == []


def test_another_file_of_the_name_is_left_alone(box: Box) -> None:
    box.offer()
    job = box.start()
    box.folder.mkdir()
    (box.folder / "tiny.gguf").write_bytes(b"somebody's own")
    box.run(job)
    assert job.state == Job.State.FAILED
    assert "Another file lies at" in job.reason
    assert (box.folder / "tiny.gguf").read_bytes() == b"somebody's own"


def test_a_file_of_more_than_four_gigabytes_is_resumed_where_it_was(box: Box) -> None:
    source = build(box.remote / "tiny-Q4_0.gguf", SHAPES["tiny-gqa"], body="random")
    size = (4 << 30) + 3 * MIB
    with source.open("r+b") as file:
        file.truncate(size)
        file.seek(size - 100)
        file.write(b"the end" * 10)
    box.hub.add(NAME, {source.name: source})
    job = box.start()
    box.folder.mkdir()
    with source.open("rb") as file, box.part().open("wb") as part:
        part.write(file.read(8 * MIB))
        part.truncate((4 << 30) + MIB)
    box.run(job)
    assert (job.state, job.reason, job.done) == (Job.State.DONE, "", size)
    assert box.ranges() == [f"bytes={(4 << 30) + MIB}-"]
    assert (box.folder / "tiny.gguf").stat().st_size == size


def test_slow_bytes_show_their_rate(box: Box) -> None:
    box.offer(pad_bytes=MIB)
    box.hub.faults.add(Slow(bytes_per_second=2 * MIB, times=1))
    job = box.start()
    thread = box.run_beside(job)
    rates = []
    while thread.is_alive():
        job.refresh_from_db()
        rates.append(job.rate_per_second)
        thread.join(0.05)
    assert any(rate and 0.5 * MIB < rate < 4 * MIB for rate in rates)
