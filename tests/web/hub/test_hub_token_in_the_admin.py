"""The Hub's token in the admin: entered, replaced and forgotten, and shown by its last four characters alone."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from models_app.hub.token import token_for
from models_app.models import HubToken
from tests.hub import HubServer
from tests.web.pages import text_of

FIRST, SECOND = "hf_first_0123456789abcd", "hf_second_9876543210wxyz"
LIST, ADD = reverse("admin:models_app_hubtoken_changelist"), reverse("admin:models_app_hubtoken_add")


@pytest.fixture
def endpoint(hub: HubServer, settings: Any, db: None) -> str:
    settings.HUB_ENDPOINT, settings.HUB_TOKEN = hub.endpoint, None
    hub.users = {FIRST: "friend", SECOND: "friend"}
    return hub.endpoint


def change() -> str:
    return reverse("admin:models_app_hubtoken_change", args=[HubToken.objects.get().pk])


def test_it_is_entered_replaced_and_forgotten_and_never_shown(admin_client: Client, endpoint: str) -> None:
    seen = [admin_client.post(ADD, {"token": FIRST}, follow=True)]
    assert token_for(endpoint) == FIRST
    assert f"{endpoint} …abcd" in text_of(seen[0])
    seen += [admin_client.get(change()), admin_client.post(change(), {"token": SECOND}, follow=True)]
    assert token_for(endpoint) == SECOND
    assert HubToken.objects.count() == 1
    seen += [admin_client.get(LIST), admin_client.get(change()), admin_client.get(f"{change()}../history/")]
    assert "…wxyz" in text_of(seen[-2])
    delete = reverse("admin:models_app_hubtoken_delete", args=[HubToken.objects.get().pk])
    seen += [admin_client.get(delete), admin_client.post(delete, {"post": "yes"}, follow=True)]
    assert token_for(endpoint) is None
    seen.append(admin_client.get(reverse("admin:admin_logentry_changelist")))
    for page in seen:
        assert FIRST not in page.content.decode()
        assert SECOND not in page.content.decode()
    entries = list(LogEntry.objects.order_by("pk"))
    assert [each.change_message for each in entries] == ["Token entered.", "Another token entered.", "Token forgotten."]
    assert "hf_" not in "".join(each.object_repr for each in entries)


def test_there_is_one_for_the_endpoint(admin_client: Client, endpoint: str) -> None:
    admin_client.post(ADD, {"token": FIRST})
    assert admin_client.get(ADD).status_code == 403
    assert token_for(endpoint) == FIRST


@pytest.mark.parametrize(
    ("token", "said"),
    [("two words", "A token is one word"), ("hf_mistyped_0123", "does not accept this token"), ("", "required")],
)
def test_what_is_no_token_is_not_kept_nor_shown_again(
    admin_client: Client, endpoint: str, token: str, said: str
) -> None:
    answer = admin_client.post(ADD, {"token": token})
    assert said in text_of(answer)
    assert not token or token not in answer.content.decode()
    assert not HubToken.objects.exists()
    assert not LogEntry.objects.exists()
