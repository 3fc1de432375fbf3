"""How fast downloads may be: set on a page, followed by those that run, the environment's where nothing was set."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from models_app.intake.limit_setting import BadLimit, current_limit, read_limit, set_limit
from models_app.models import DownloadLimit
from tests.downloads.conftest import MIB, Box
from tests.web.pages import text_of


@pytest.fixture
def user(transactional_db: None) -> User:
    return User.objects.create_user("owner", is_staff=True)


@pytest.fixture
def owner(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def send(client: Client, **form: str) -> str:
    return text_of(client.post(reverse("download-limit"), form, follow=True))


def test_a_running_download_follows_within_seconds(box: Box, user: User) -> None:
    (source,) = box.offer(pad_bytes=4 * MIB)
    set_limit(64 * 1024, user)
    job = box.start()
    running = box.run_beside(job)
    box.wait_until_part_has(1)
    assert running.is_alive(), "it would take a minute"
    set_limit(None, user)
    running.join(10)
    assert not running.is_alive()
    job.refresh_from_db()
    box.assert_whole(job, [source])


def test_the_page_says_which_limit_holds(owner: Client, settings: Any) -> None:
    settings.DOWNLOAD_BYTES_PER_SECOND = None
    assert "There is no limit ." in text_of(owner.get(reverse("jobs")))
    told = send(owner, limit="10MiB")
    assert "Downloads: 10.0 MiB/s. Those that run follow within seconds." in told
    assert "What was set here holds: 10.0 MiB/s ." in told
    assert "HOSTUI_DOWNLOAD_LIMIT" not in told
    settings.DOWNLOAD_BYTES_PER_SECOND = 5 * MIB
    assert "Without it HOSTUI_DOWNLOAD_LIMIT would, which is 5 MiB/s." in text_of(owner.get(reverse("jobs")))
    assert "What was set here holds: no limit" in send(owner, limit="")
    assert "HOSTUI_DOWNLOAD_LIMIT holds: 5 MiB/s" in send(owner, forget="1")
    assert not DownloadLimit.objects.exists()


@pytest.mark.parametrize("wrong", ["fast", "-1MB", "90%", "10", "1e9", "9999TB"])
def test_what_is_no_speed_is_refused_and_can_be_mended(owner: Client, wrong: str) -> None:
    answer = owner.post(reverse("download-limit"), {"limit": wrong})
    assert answer.status_code == 422
    assert f'value="{wrong}"' in answer.content.decode()
    assert 'aria-invalid="true"' in answer.content.decode()
    assert not DownloadLimit.objects.exists()


def test_a_bare_number_is_asked_for_its_unit() -> None:
    with pytest.raises(BadLimit, match=r"Did you mean 10MB\?"):
        read_limit(" 10 ")
    assert read_limit("2.5 MB/s") == 2_500_000
    assert read_limit("  ") is None


def test_members_neither_see_nor_set_it(client: Client, transactional_db: None) -> None:
    client.force_login(User.objects.create_user("member"))
    assert "Speed of downloads" not in text_of(client.get(reverse("jobs")))
    assert client.post(reverse("download-limit"), {"limit": "1MB"}).status_code == 403
    assert not current_limit().is_set
