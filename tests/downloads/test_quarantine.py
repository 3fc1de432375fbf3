"""What came wrong is shown with its reason, counts, and stays until somebody discards it or the right file comes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from models_app.intake.part import QUARANTINE
from models_app.intake.quarantine import quarantined_bytes, quarantined_files
from models_app.models import Job
from tests.downloads.conftest import MIB, Box
from tests.hub import WrongBytes
from tests.web.pages import text_of


@pytest.fixture
def owner(box: Box) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("owner", is_staff=True))
    return client


@pytest.fixture
def failed(box: Box) -> Job:
    """A download that brought other bytes than the record has."""
    box.offer()
    box.hub.faults.add(WrongBytes(at=MIB))
    job = box.run(box.start())
    assert job.state == Job.State.FAILED
    return job


def test_it_is_shown_with_name_bytes_reason_and_the_job(box: Box, owner: Client, failed: Job) -> None:
    (file,) = quarantined_files()
    size_bytes = (box.folder / QUARANTINE / file.name).stat().st_size
    assert (file.name, file.size_bytes, file.job) == ("tiny.gguf.part", size_bytes, failed)
    assert quarantined_bytes() == size_bytes > 2 << 20
    told = text_of(owner.get(reverse("jobs")))
    for expected in (
        "1 file, ",
        "tiny.gguf.part",
        "Download tiny from owner/tiny-GGUF",
        "is not what the Hub's record says",
    ):
        assert expected in told.replace("&#x27;", "'"), expected
    assert "in quarantine" in text_of(owner.get(reverse("models")))


def test_discarding_it_frees_the_disk_and_is_in_the_log(box: Box, owner: Client, failed: Job) -> None:
    told = text_of(owner.post(reverse("quarantine-discard"), {"name": "tiny.gguf.part"}, follow=True))
    assert "tiny.gguf.part is discarded" in told
    assert "Nothing is in quarantine." in told
    assert box.files() == []
    entry = LogEntry.objects.get(user__username="owner")
    assert (entry.object_id, entry.change_message[:46]) == (
        str(failed.pk),
        "Discarded from the quarantine: tiny.gguf.part,",
    )
    again = text_of(owner.post(reverse("quarantine-discard"), {"name": "tiny.gguf.part"}, follow=True))
    assert "is gone already" in again


@pytest.mark.parametrize("name", ["", "..", "../kept.gguf", "/etc/passwd", ".quarantine", "link.gguf"])
def test_nothing_else_can_be_discarded(box: Box, owner: Client, failed: Job, name: str) -> None:
    kept = box.folder / "kept.gguf"
    kept.write_bytes(b"kept")
    (box.folder / QUARANTINE / "link.gguf").symlink_to(kept)
    owner.post(reverse("quarantine-discard"), {"name": name})
    assert kept.read_bytes() == b"kept"
    assert [each.name for each in quarantined_files()] == ["tiny.gguf.part"]


def test_the_right_file_takes_its_place(box: Box, failed: Job) -> None:
    box.hub.faults.clear()
    assert box.run(box.start()).state == Job.State.DONE
    assert quarantined_files() == []


def test_one_whose_job_is_gone_is_still_shown_and_discarded(box: Box, owner: Client, failed: Job) -> None:
    failed.delete()
    assert "Why is no longer known" in text_of(owner.get(reverse("jobs")))
    owner.post(reverse("quarantine-discard"), {"name": "tiny.gguf.part"})
    assert quarantined_files() == []
    assert LogEntry.objects.get(user__username="owner").object_repr == "tiny.gguf.part"


def test_members_neither_see_nor_discard_it(box: Box, failed: Job, client: Client) -> None:
    client.force_login(User.objects.create_user("member"))
    assert "quarantine" not in text_of(client.get(reverse("jobs")))
    assert client.post(reverse("quarantine-discard"), {"name": "tiny.gguf.part"}).status_code == 403
    assert len(quarantined_files()) == 1


def test_a_file_of_several_is_told_with_its_own_reason(box: Box, tmp_path: Path, settings: Any) -> None:
    sources = box.offer(split=2)
    box.hub.faults.add(WrongBytes(at=MIB, path=sources[-1].name))
    box.run(box.start())
    (file,) = [each for each in quarantined_files() if "00002-of-00002" in each.name]
    assert "00002-of-00002" in file.why


def test_the_admins_list_of_jobs_tells_of_it(box: Box, failed: Job) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    told = " ".join(client.get(reverse("admin:models_app_job_changelist")).content.decode().split())
    assert re.search(r"In quarantine: 1 file, [\d.]+ MiB", told)
    assert "Downloads: no limit" in told
