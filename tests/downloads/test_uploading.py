"""A model comes from a browser piece by piece, and goes on where it was after anything."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from models_app.intake import upload_job
from models_app.intake.part import Part
from models_app.models import Job, Variant
from tests.downloads.conftest import Box
from tests.gguf_builder import SHAPES, build

PIECE = 300_000


class Browser:
    """Whoever runs the box, at the upload form."""

    def __init__(self, user: User) -> None:
        self.client = Client()
        self.client.force_login(user)

    def begin(self, *files: Path) -> Any:
        told = [{"name": path.name, "size_bytes": path.stat().st_size} for path in files]
        return self.client.post("/models/upload/", told, content_type="application/json")

    def put(self, pk: int, number: int, offset: int, piece: bytes) -> Any:
        return self.client.put(
            f"/models/upload/{pk}/{number}/",
            piece,
            content_type="application/octet-stream",
            headers={"Upload-Offset": str(offset), "Content-Length": str(len(piece))},
        )

    def send(self, pk: int, number: int, path: Path, offset: int = 0, until: int | None = None) -> None:
        body = path.read_bytes()[:until]
        while offset < len(body):
            answer = self.put(pk, number, offset, body[offset : offset + PIECE])
            assert answer.status_code == 200, answer.content
            offset = answer.json()["offset"]


@pytest.fixture
def browser(box: Box) -> Browser:
    return Browser(User.objects.create_user("alice", is_staff=True))


@pytest.fixture
def model(box: Box) -> Path:
    return build(box.remote / "mine-Q4_0.gguf", SHAPES["tiny-gqa"], body="random")


def test_a_model_arrives_piece_by_piece(box: Box, browser: Browser, model: Path) -> None:
    begun = browser.begin(model)
    assert begun.status_code == 201
    pk = begun.json()["id"]
    assert begun.json()["offsets"] == [0]
    job = Job.objects.get(pk=pk)
    assert box.run(job).state == Job.State.WAITING
    browser.send(pk, 0, model)
    job.refresh_from_db()
    assert job.state == Job.State.QUEUED, "it need not wait any longer"
    variant = box.assert_whole(box.run(job), [model])
    assert (variant.name, variant.origin) == ("mine-Q4_0", Variant.Origin.UPLOADED)
    assert variant.shards.get().sha256 == hashlib.sha256(model.read_bytes()).hexdigest()


def test_who_comes_back_goes_on_where_it_was(box: Box, browser: Browser, model: Path) -> None:
    pk = browser.begin(model).json()["id"]
    browser.send(pk, 0, model, until=500_000)
    again = browser.begin(model).json()
    assert (again["id"], again["offsets"]) == (pk, [500_000])
    assert browser.put(pk, 0, 600_000, b"too far").json()["offset"] == 500_000
    assert browser.put(pk, 0, 0, b"again").status_code == 409
    browser.send(pk, 0, model, offset=500_000)
    box.assert_whole(box.run(Job.objects.get(pk=pk)), [model])


def test_the_last_piece_sent_again_finds_all_of_it_here(box: Box, browser: Browser, model: Path) -> None:
    """Its answer was lost, and meanwhile the job checks the file, or has taken it in."""
    pk, size = browser.begin(model).json()["id"], model.stat().st_size
    browser.send(pk, 0, model)

    def again() -> tuple[int, int | None]:
        answer = browser.put(pk, 0, size - 10, model.read_bytes()[-10:])
        return answer.status_code, answer.json().get("offset")

    assert again() == (409, size)
    checking = Part.open(box.folder / "mine-Q4_0.gguf")
    assert again() == (409, size)
    checking.finish()
    checking.close()
    assert again() == (409, size)
    box.assert_whole(box.run(Job.objects.get(pk=pk)), [model])
    assert again() == (409, size)
    assert not box.part("mine-Q4_0.gguf").exists()


def test_shards_come_in_any_order(box: Box, browser: Browser) -> None:
    first = build(box.remote / "mine.gguf", SHAPES["tiny-gqa"], body="random", split=2)
    files = sorted(first.parent.glob("mine-*.gguf"))
    begun = browser.begin(*reversed(files)).json()
    assert begun["order"] == [path.name for path in files]
    for number in (1, 0):
        browser.send(begun["id"], number, files[number])
    box.assert_whole(box.run(Job.objects.get(pk=begun["id"])), files)


def test_what_is_no_model_is_removed(box: Box, browser: Browser) -> None:
    bad = box.remote / "bad.gguf"
    bad.write_bytes(os.urandom(1000))
    pk = browser.begin(bad).json()["id"]
    browser.send(pk, 0, bad)
    job = box.run(Job.objects.get(pk=pk))
    assert job.state == Job.State.FAILED
    assert "What was sent cannot be used" in job.reason
    assert box.files() == []


@pytest.mark.parametrize(
    "files",
    [
        [],
        {},
        [{"name": "m.gguf"}],
        [{"name": "../m.gguf", "size_bytes": 1}],
        [{"name": "CON.gguf", "size_bytes": 1}],
        [{"name": "m.exe", "size_bytes": 1}],
        [{"name": "m.gguf", "size_bytes": 0}],
        [{"name": "m.gguf", "size_bytes": True}],
        [{"name": "a-00001-of-00002.gguf", "size_bytes": 1}],
        [{"name": "a.gguf", "size_bytes": 1}, {"name": "b.gguf", "size_bytes": 1}],
    ],
)
def test_bad_offers_are_refused_in_words(browser: Browser, files: Any) -> None:
    answer = browser.client.post("/models/upload/", files, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["detail"]
    assert not Job.objects.exists()


def test_more_than_the_file_has_is_refused(browser: Browser, model: Path) -> None:
    pk = browser.begin(model).json()["id"]
    size = model.stat().st_size
    assert browser.put(pk, 0, size - 1, b"xx").status_code == 400
    assert browser.put(pk, 0, 0, bytes(upload_job.PIECE_BYTES + 1)).status_code == 413
    assert browser.put(pk, 7, 0, b"x").status_code == 404


def test_two_pages_do_not_write_one_file(box: Box, browser: Browser, model: Path) -> None:
    pk = browser.begin(model).json()["id"]
    other = Part.open(box.folder / "mine-Q4_0.gguf")
    assert browser.put(pk, 0, 0, b"x").status_code == 423
    other.close()
    assert browser.put(pk, 0, 0, b"x").status_code == 200


def test_a_full_disk_refuses_and_keeps_what_is_there(browser: Browser, model: Path, settings: Any) -> None:
    pk = browser.begin(model).json()["id"]
    browser.send(pk, 0, model, until=1000)
    settings.DISK_RESERVE_BYTES = 1 << 60
    answer = browser.put(pk, 0, 1000, b"x")
    assert answer.status_code == 507
    told = answer.json()["detail"]
    assert "too full" in told
    assert "goes on when" not in told, "nobody sends it again by himself"
    assert "choose the same files again" in told
    settings.DISK_RESERVE_BYTES = 0
    assert browser.put(pk, 0, 1000, b"x").status_code == 200


def test_a_cancelled_upload_takes_no_more(box: Box, browser: Browser, model: Path) -> None:
    pk = browser.begin(model).json()["id"]
    browser.send(pk, 0, model, until=1000)
    assert browser.client.delete(f"/models/upload/{pk}/").status_code == 200
    assert browser.put(pk, 0, 1000, b"x").status_code == 409
    assert box.run(Job.objects.get(pk=pk)).state == Job.State.CANCELLED
    assert browser.put(pk, 0, 1000, b"x").status_code == 410
    assert box.files() == []


def test_an_upload_that_was_forgotten_is_tidied_up(box: Box, browser: Browser, model: Path) -> None:
    pk = browser.begin(model).json()["id"]
    browser.send(pk, 0, model, until=1000)
    long_ago = 1_600_000_000
    os.utime(box.part("mine-Q4_0.gguf"), (long_ago, long_ago))
    Job.objects.filter(pk=pk).update(created_at="2020-01-01T00:00:00Z")
    job = box.run(Job.objects.get(pk=pk))
    assert (job.state, box.files()) == (Job.State.FAILED, [])


def test_members_add_no_models(box: Box, browser: Browser, model: Path) -> None:
    pk = browser.begin(model).json()["id"]
    member = Browser(User.objects.create_user("bob"))
    ask: list[Callable[[], Any]] = [
        lambda: member.begin(model),
        lambda: member.put(pk, 0, 0, b"x"),
        lambda: member.client.get(f"/models/upload/{pk}/"),
        lambda: member.client.delete(f"/models/upload/{pk}/"),
    ]
    assert {each().status_code for each in ask} == {403}
