"""Deleting a variant: what is told first, what is refused, what leaves the disk, and what a kill in the middle leaves behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connections
from django.urls import reverse

from inference.core.loads.purposes import PURPOSES, Purpose
from inference.core.scheduling.refusals import Refusal, ShuttingDown, VariantDisabled, VariantUnknown
from inference.models import Conversation
from models_app.catalog import deletion
from models_app.catalog.register import add_model
from models_app.intake.scan import scan_models
from models_app.models import Job, Repository, Variant
from tests.gguf_builder import SHAPES, build
from tests.web.dashboard.test_loading_from_the_dashboard import staff
from tests.web.fake_host import FakeHost, refused, resident
from tests.web.pages import signed_in, text_of

T = TypeVar("T")


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.MODELS_DIR = tmp_path / "models"
    settings.MODELS_DIR.mkdir()
    return tmp_path / "models"


@pytest.fixture
def ours(folder: Path, transactional_db: None) -> Variant:
    """In two shards, in the box's own folder."""
    return add_model(build(folder / "ours.gguf", SHAPES["tiny-gqa"], split=2), name="ours").variant


@pytest.fixture
def theirs(tmp_path: Path, transactional_db: None) -> Variant:
    """Where somebody else put it."""
    return add_model(build(tmp_path / "theirs.gguf", SHAPES["tiny-gqa"]), name="theirs").variant


def paths(variant: Variant) -> list[Path]:
    return [Path(path) for path in variant.shards.values_list("path", flat=True)]


def url(variant: Variant) -> str:
    return reverse("model-delete", args=[variant.name])


async def test_the_question_tells_what_goes_and_what_depends_on_it(host: FakeHost, alice: User, ours: Variant) -> None:
    await Conversation.objects.acreate(owner=alice, variant=ours)
    await Variant.objects.acreate(repository_id=ours.repository_id, name="child", made_from=ours)
    told = text_of(await (await staff(alice)).get(url(ours)))
    for expected in (
        "Delete ours?",
        "Its 2 files are deleted, which frees",
        "1 conversation of 1 person goes on with it.",
        "child was made from it.",
    ):
        assert expected in told
    assert await Variant.objects.acount() == 2


async def test_its_own_files_and_rows_go_and_it_is_noted(host: FakeHost, alice: User, ours: Variant) -> None:
    files = await sync_to_async(paths)(ours)
    conversation = await Conversation.objects.acreate(owner=alice, variant=ours)
    response = await (await staff(alice)).post(url(ours), follow=True)
    assert "ours is gone. Its 2 files are deleted" in text_of(response)
    assert len(files) == 2
    assert not any(file.exists() for file in files)
    assert not await Variant.objects.aexists()
    assert not await Repository.objects.aexists()
    await conversation.arefresh_from_db()
    assert conversation.variant_id is None
    entry = await LogEntry.objects.aget()
    assert (entry.user_id, entry.object_repr, entry.is_deletion()) == (alice.pk, "ours", True)
    assert "frees" in entry.change_message


async def test_files_that_lie_elsewhere_stay_and_are_forgotten(
    host: FakeHost, alice: User, theirs: Variant, folder: Path
) -> None:
    (file,) = await sync_to_async(paths)(theirs)
    client = await staff(alice)
    assert f"Its file stays in {file.parent}" in text_of(await client.get(url(theirs)))
    await client.post(url(theirs))
    assert file.exists()
    assert not await Variant.objects.aexists()


def test_nothing_outside_our_folder_is_ours_whatever_its_path_says(
    folder: Path, tmp_path: Path, theirs: Variant
) -> None:
    (file,) = paths(theirs)
    (folder / "way-out").symlink_to(tmp_path)
    for path in (f"{folder}/../theirs.gguf", f"{folder}/way-out/theirs.gguf", f"{folder}-too/theirs.gguf"):
        theirs.shards.update(path=path)
        assert deletion.removal(theirs).kept == (Path(path),)
    (folder / "link.gguf").symlink_to(file)
    theirs.shards.update(path=str(folder / "link.gguf"))
    deletion.delete(theirs, User.objects.create_user("carol").pk)
    assert file.exists()
    assert not (folder / "link.gguf").is_symlink()


def test_a_hard_link_frees_nothing_and_the_other_name_stays(folder: Path, tmp_path: Path, theirs: Variant) -> None:
    (file,) = paths(theirs)
    os.link(file, folder / "imported.gguf")
    theirs.shards.update(path=str(folder / "imported.gguf"))
    found = deletion.removal(theirs)
    assert found.freed_bytes == 0
    assert "under a second name" in found.sentence
    deletion.delete(theirs, User.objects.create_user("carol").pk)
    assert (file.exists(), (folder / "imported.gguf").exists()) == (True, False)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"leases": 2}, "ours is in use: 2 requests are running on it."),
        ({"queued": 1}, "1 waits for it."),
    ],
)
@pytest.mark.parametrize("purpose", PURPOSES)
async def test_it_is_refused_while_somebody_uses_it(
    host: FakeHost, alice: User, ours: Variant, facts: dict[str, int], says: str, purpose: Purpose
) -> None:
    host.residents = [resident(ours.pk, "ours", purpose=purpose, **facts)]
    response = await (await staff(alice)).post(url(ours))
    assert response.status_code == 409
    assert says in text_of(response)
    await untouched(ours)


async def untouched(variant: Variant) -> None:
    fresh = await Variant.objects.aget(pk=variant.pk)
    assert (fresh.enabled, fresh.problem) == (True, "")
    assert all(file.exists() for file in await sync_to_async(paths)(variant))


async def beside_the_request(query: Callable[[], T]) -> T:
    """In a thread of its own: the one of the test client is busy with the view."""

    def run() -> T:
        try:
            return query()
        finally:
            connections.close_all()

    return await sync_to_async(run, thread_sensitive=False)()


async def test_it_is_unloaded_first_and_withheld_meanwhile(host: FakeHost, alice: User, ours: Variant) -> None:
    host.residents = [resident(ours.pk, "ours")]
    client = await staff(alice)
    asked = asyncio.ensure_future(client.post(url(ours)))
    unload = await host.take("unload")
    is_usable, files = await beside_the_request(lambda: (Variant.objects.get().is_usable, paths(ours)))
    assert not is_usable
    assert all(file.exists() for file in files)
    await unload.say({"type": "completed"})
    assert (await asked).status_code == 302
    assert not await Variant.objects.aexists()


@pytest.mark.parametrize("refusal", [VariantUnknown(), VariantDisabled(1)])
async def test_one_that_left_the_memory_by_itself_is_deleted(
    host: FakeHost, alice: User, ours: Variant, refusal: Refusal
) -> None:
    host.residents = [resident(ours.pk, "ours")]
    client = await staff(alice)
    asked = asyncio.ensure_future(client.post(url(ours)))
    unload = await host.take("unload")
    await unload.say(refused(refusal))
    assert (await asked).status_code == 302
    assert not await Variant.objects.aexists()


async def test_a_host_that_refuses_or_ends_leaves_it_as_it_was(host: FakeHost, alice: User, ours: Variant) -> None:
    host.residents = [resident(ours.pk, "ours")]
    client = await staff(alice)
    asked = asyncio.ensure_future(client.post(url(ours)))
    await (await host.take("unload")).say(refused(ShuttingDown()))
    response = await asked
    assert (response.status_code, "The host is shutting down." in text_of(response)) == (409, True)
    await untouched(ours)

    asked = asyncio.ensure_future(client.post(url(ours)))
    (await host.take("unload")).drop()
    assert (await asked).status_code == 503
    await untouched(ours)

    await host.stop()
    response = await client.post(url(ours))
    assert (response.status_code, "does not answer" in text_of(response)) == (503, True)
    await untouched(ours)


async def test_a_job_that_has_not_ended_is_not_deleted_under(host: FakeHost, alice: User, ours: Variant) -> None:
    job = await Job.objects.acreate(kind="verify", title="Verify ours", variant=ours, state=Job.State.PAUSED)
    client = await staff(alice)
    assert "The job “Verify ours” is paused." in text_of(await client.get(url(ours)))
    assert (await client.post(url(ours))).status_code == 409
    await untouched(ours)
    await Job.objects.filter(pk=job.pk).aupdate(state=Job.State.CANCELLED)
    assert (await client.post(url(ours))).status_code == 302


class Killed(BaseException):
    """As if the process ended here."""


@pytest.mark.parametrize("after_files", [0, 1, 2])
def test_a_kill_in_the_middle_lists_nothing_that_is_broken_and_can_be_finished(
    after_files: int, ours: Variant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carol = User.objects.create_user("carol")
    unlink, gone = Path.unlink, []

    def unlink_or_die(path: Path, missing_ok: bool = False) -> None:
        if len(gone) == after_files:
            raise Killed
        unlink(path, missing_ok)
        gone.append(path)

    deletion.withhold(ours)

    def die(handle: int) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", unlink_or_die)
        patched.setattr(os, "fsync", die)
        with pytest.raises(Killed):
            deletion.delete(ours, carol.pk)
    left = Variant.objects.get()
    assert not left.is_usable
    report = scan_models(folder)
    left.refresh_from_db()
    if after_files == 0:
        assert report.returned == ["ours"]
        assert (left.unusable_reason, left.enabled) == (None, False)
    else:
        assert report.missing == ["ours"]
        assert report.added == []
    deletion.delete(left, carol.pk)
    assert not Variant.objects.exists()
    assert list(folder.iterdir()) == []
    report = scan_models(folder)
    assert (report.added, report.missing) == ([], [])


async def test_a_file_that_cannot_be_deleted_is_told(
    host: FakeHost, alice: User, ours: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    client = await staff(alice)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        response = await client.post(url(ours))
    assert response.status_code == 500
    assert "could not be deleted: Permission denied" in text_of(response)
    assert (await client.post(url(ours))).status_code == 302


async def test_only_staff_deletes(host: FakeHost, alice: User, ours: Variant) -> None:
    client = await signed_in(alice)
    assert (await client.post(url(ours))).status_code == 403
    await untouched(ours)
