"""What a download becomes, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from models_app.catalog.register import add_model
from models_app.models import Job, Shard
from tests.hub import HubServer
from tests.web.hub.asking import DOWNLOAD, NAME, URL
from tests.web.pages import text_of


def test_a_download_becomes_a_job_with_the_hubs_own_record(
    owner: User, staff: Client, repository: HubServer, tmp_path: Path
) -> None:
    revision = repository.repositories[NAME].head
    response = staff.post(DOWNLOAD, {"key": "Tiny-F16.gguf", "revision": revision}, follow=True)

    (job,) = Job.objects.all()
    assert (job.kind, job.created_by) == ("download", owner)
    files = sorted((tmp_path / "remote").glob("Tiny-F16-*"))
    assert job.spec == {
        "repository": NAME,
        "revision": revision,
        "name": "Tiny-F16",
        "files": [
            {
                "path": file.name,
                "size_bytes": file.stat().st_size,
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
            for file in files
        ],
    }
    told = text_of(response)
    assert "started" in told
    assert "On its way" in told
    staff.post(DOWNLOAD, {"key": "Tiny-F16.gguf", "revision": revision})
    assert Job.objects.count() == 1


def test_what_is_here_is_said_to_those_who_may_use_it(
    staff: Client, member: Client, repository: HubServer, tmp_path: Path
) -> None:
    file = tmp_path / "remote" / "Tiny-Q4_0.gguf"
    variant = add_model(file).variant
    Shard.objects.filter(variant=variant).update(sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    address = reverse("model", args=[variant.name])

    assert address in staff.get(URL).content.decode()
    assert address in member.get(URL).content.decode()
    variant.groups.add(Group.objects.create(name="family"))
    assert address in staff.get(URL).content.decode()
    assert address not in member.get(URL).content.decode()
    told = text_of(staff.post(DOWNLOAD, {"key": "Tiny-Q4_0.gguf"}, follow=True))
    assert f"It is here already, as {variant.name}." in told
    assert not Job.objects.exists()


def test_what_is_refused_or_gone_is_not_downloaded(staff: Client, repository: HubServer) -> None:
    for key in ("../evil-Q4_0.gguf", "mmproj-Tiny-f16.gguf", "nothing.gguf", ""):
        told = text_of(staff.post(DOWNLOAD, {"key": key}, follow=True))
        assert "has no such variant" in told
    assert not Job.objects.exists()


def test_a_disk_without_room_is_said_instead_of_a_button(staff: Client, repository: HubServer, settings: Any) -> None:
    settings.DISK_RESERVE_BYTES = 1 << 60
    response = staff.get(URL)
    assert "The disk lacks" in text_of(response)
    assert DOWNLOAD not in response.content.decode()
