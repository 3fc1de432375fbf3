"""Repositories that are gated or private, tokens, and a Hub that does not answer."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from inference.web.hub import plans_view, remote_models
from models_app.hub.token import set_token, token_for
from models_app.models import HardwareProfile
from tests.hub import CaptivePortal, HubServer, ServerError
from tests.web.hub.asking import NAME, URL, by_key, lines_of
from tests.web.pages import text_of


def test_a_gated_repository_says_so_and_takes_a_token(
    owner: User, staff: Client, member: Client, repository: HubServer
) -> None:
    gated = repository.repositories[NAME]
    gated.gated, gated.readers = True, {"friend"}
    repository.users = {"hf_of_a_friend": "friend"}

    assert "This repository is gated" in text_of(staff.get(URL))
    assert "Whoever runs this box can enter a token" in text_of(member.get(URL))
    response = staff.post(reverse("hub-token"), {"token": "hf_of_a_friend", "next": URL}, follow=True)

    told = response.content.decode()
    assert response.redirect_chain == [(URL, 302)]
    assert "token ending in <code>iend</code> is kept" in " ".join(told.split())
    assert "hf_of_a_friend" not in told
    assert token_for(repository.endpoint) == "hf_of_a_friend"
    staff.post(reverse("hub-token"), {"forget": "1", "next": "https://evil.example/"}, follow=True)
    assert token_for(repository.endpoint) is None


def test_a_token_that_the_hub_does_not_know_is_not_kept(staff: Client, repository: HubServer) -> None:
    repository.users = {"hf_of_a_friend": "friend"}
    url = reverse("hub-token")

    assert "The Hub knows it as friend" in text_of(staff.post(url, {"token": "hf_of_a_friend"}, follow=True))
    refused = staff.post(url, {"token": "hf_mistyped"}, follow=True)
    assert "does not accept this token" in text_of(refused)
    assert "hf_mistyped" not in refused.content.decode()
    assert "A token is one word" in text_of(staff.post(url, {"token": "two words"}, follow=True))
    assert token_for(repository.endpoint) == "hf_of_a_friend"


def test_a_token_entered_while_the_hub_is_away_is_kept_unasked(staff: Client, repository: HubServer) -> None:
    repository.faults.add(ServerError(where="account"))
    told = text_of(staff.post(reverse("hub-token"), {"token": "hf_entered_anyway"}, follow=True))

    assert "could not be asked" in told
    assert token_for(repository.endpoint) == "hf_entered_anyway"


async def test_without_a_token_a_gated_repository_is_asked_once(
    owner: User, repository: HubServer, box: HardwareProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.repositories[NAME].gated = True
    lines = await lines_of(owner)

    assert all("is gated" in plan["how"] for plan in by_key(lines).values())
    assert lines[-1]["key"] is None
    assert len(repository.seen("resolve")) <= plans_view.HEADERS_AT_ONCE + 2


def test_what_is_private_is_shown_to_the_owner_of_the_token_alone(
    owner: User, staff: Client, member: Client, repository: HubServer
) -> None:
    private = repository.repositories[NAME]
    private.private, private.readers = True, {"friend"}
    repository.users = {"hf_of_a_friend": "friend"}
    set_token(repository.endpoint, "hf_of_a_friend", owner)

    assert "3 variants" in text_of(staff.get(URL))
    refused = member.get(URL)
    assert refused.status_code == 404
    assert "The Hub has no repository owner/Tiny-GGUF, or it is private and needs a token." in text_of(refused)
    assert "1 repository" in text_of(staff.get(reverse("hub-find"), {"q": "tiny"}))
    assert "Nothing on the Hub" in text_of(member.get(reverse("hub-find"), {"q": "tiny"}))


def test_offline_is_said_at_once_and_remembered_for_a_moment(staff: Client, settings: Any) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        settings.HUB_ENDPOINT = f"http://127.0.0.1:{bound.getsockname()[1]}"
        told = text_of(staff.get(reverse("hub-find"), {"q": "tiny"}))
        page = text_of(staff.get(URL))
        chat = staff.get("/hardware/")

    assert "cannot be reached" in told
    assert "Models on this box work on." in told
    assert "Try again" in told
    assert "cannot be reached" in page
    assert chat.status_code == 200


def test_after_a_silence_the_hub_is_asked_again_when_a_person_wishes(
    staff: Client, repository: HubServer, settings: Any
) -> None:
    endpoint = settings.HUB_ENDPOINT
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        remote_models._outages._silent[endpoint] = (remote_models._outages._clock(), "no route")
        assert "no route" in text_of(staff.get(URL))
    assert repository.seen() == []
    assert "3 variants" in text_of(staff.get(URL, {"again": "1"}))
    assert "3 variants" in text_of(staff.get(URL))


def test_a_sign_in_page_in_between_is_recognised(staff: Client, repository: HubServer) -> None:
    with repository.faults.during(CaptivePortal(times=None)):
        told = text_of(staff.get(reverse("hub-find"), {"q": "tiny"}))
    assert "is not a Hub" in told
    assert "sign-in page" in told
