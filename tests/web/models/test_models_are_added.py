"""Adding files that lie on the box: looked at first, then taken in by a job, as its owner chose."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from models_app.catalog.register import add_model
from models_app.models import Job
from tests.gguf_builder import SHAPES, build
from tests.web.pages import text_of

pytestmark = pytest.mark.django_db
URL = "/models/add/"


@pytest.fixture
def owner(settings: Any, tmp_path: Path) -> Client:
    settings.MODELS_DIR = tmp_path / "own"
    client = Client()
    client.force_login(User.objects.create_user("owner", is_staff=True))
    return client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, another in two shards, one that is here already, and a file that is none."""
    there = tmp_path / "there"
    there.mkdir()
    build(there / "one.gguf", SHAPES["tiny-gqa"])
    build(there / "split.gguf", SHAPES["tiny-gqa"], split=2)
    add_model(build(there / "known.gguf", SHAPES["tiny-gqa"]), name="known-already")
    (there / "none.gguf").write_bytes(b"no model at all")
    return there


def test_it_is_for_staff(client: Client) -> None:
    client.force_login(User.objects.create_user("visitor"))
    for method in (client.get, client.post):
        assert method(URL, {"path": "/"}).status_code == 403


def test_what_lies_there_is_shown_before_anything_is_done(owner: Client, folder: Path) -> None:
    told = text_of(owner.get(URL, {"path": str(folder)}))
    for expected in (
        "one-Q4_0",
        "in 2 files",
        "here already as known-already",
        "1 file cannot be used",
        "Take in 2 models",
        "Takes no room",
    ):
        assert expected in told, expected
    assert not Job.objects.exists()


@pytest.mark.parametrize("how", ["in_place", "link", "copy"])
def test_it_is_taken_in_by_a_job_as_was_chosen(owner: Client, folder: Path, how: str) -> None:
    response = owner.post(URL, {"path": str(folder / "one.gguf"), "how": how})
    assert (response.status_code, response["Location"]) == (302, reverse("models"))
    job = Job.objects.get()
    assert (job.kind, job.spec["how"], job.created_by) == ("import", how, User.objects.get(username="owner"))
    assert job.title in text_of(owner.get(reverse("models")))


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ({"path": "here"}, "Give the whole path, beginning with /."),
        ({"path": "/nowhere/at/all"}, "There is nothing at /nowhere/at/all"),
        ({"path": "/a\0b"}, "This is no path."),
    ],
)
def test_a_path_that_will_not_do_is_told_at_the_field(owner: Client, sent: dict[str, str], says: str) -> None:
    for response in (owner.get(URL, sent), owner.post(URL, {**sent, "how": "copy"})):
        assert response.status_code == 422
        assert says in text_of(response)
        assert 'aria-invalid="true"' in response.content.decode()
    assert not Job.objects.exists()


def test_a_way_that_there_is_not_is_refused(owner: Client, folder: Path) -> None:
    response = owner.post(URL, {"path": str(folder / "one.gguf"), "how": "steal"})
    assert response.status_code == 422
    assert "A model is used in place, linked or copied." in text_of(response)


def test_a_name_that_is_not_utf8_is_listed_as_what_cannot_be_used(owner: Client, folder: Path) -> None:
    os.link(folder / "one.gguf", os.fsencode(folder) + b"/bad\xff.gguf")
    told = text_of(owner.get(URL, {"path": str(folder)}))
    assert "2 files cannot be used" in told
    assert "bad\N{REPLACEMENT CHARACTER}.gguf" in told


def test_a_path_that_no_disk_could_have_is_said(owner: Client) -> None:
    response = owner.get(URL, {"path": "/" + "x" * 300})
    assert response.status_code == 422
    assert "File name too long" in text_of(response)
