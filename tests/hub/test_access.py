"""The token of the box: sealed at rest, for one endpoint, never shown."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection

from models_app.hub.errors import ConnectionDropped, Unreachable
from models_app.hub.outage_memory import REMEMBERED_SECONDS, OutageMemory
from models_app.hub.token import BadToken, forget_token, is_readable, set_token, stored_token, token_for

ENDPOINT = "https://hub.example"
TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345"


@pytest.fixture
def owner(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user("owner", password="x", is_staff=True)


@pytest.mark.django_db
def test_a_token_is_sealed_in_the_database_and_opened_for_its_endpoint(owner: Any) -> None:
    set_token(ENDPOINT, f"  {TOKEN}\n", owner)

    assert token_for(ENDPOINT) == TOKEN
    assert token_for("https://elsewhere.example") is None
    row = stored_token(ENDPOINT)
    assert row is not None
    assert (row.last_four, row.set_by) == ("2345", owner)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM models_app_hubtoken")
        stored = str(cursor.fetchall())
    assert TOKEN not in stored
    assert TOKEN[3:20] not in stored


@pytest.mark.django_db
def test_who_entered_and_who_forgot_it_is_in_the_log_and_the_token_is_not(owner: Any) -> None:
    set_token(ENDPOINT, TOKEN, owner)
    assert forget_token(ENDPOINT, owner)
    assert not forget_token(ENDPOINT, owner)

    entries = list(LogEntry.objects.filter(user=owner).order_by("pk"))
    assert [entry.change_message for entry in entries] == ["Token entered.", "Token forgotten."]
    assert all(TOKEN not in f"{entry.object_repr} {entry.change_message}" for entry in entries)
    assert token_for(ENDPOINT) is None


@pytest.mark.django_db
def test_with_another_secret_key_the_token_is_not_readable(owner: Any, settings: Any) -> None:
    row = set_token(ENDPOINT, TOKEN, owner)
    settings.SECRET_KEY = "another"

    assert not is_readable(row)
    assert token_for(ENDPOINT) is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    "token", ["", "short", "two words and more", "hf_\u00fcmlaut_token", "x" * 600, "hf_a\nb_c_d_e_f"]
)
def test_what_is_no_token_is_refused(owner: Any, token: str) -> None:
    with pytest.raises(BadToken):
        set_token(ENDPOINT, token, owner)
    assert stored_token(ENDPOINT) is None


@pytest.mark.django_db
def test_the_environments_token_is_for_the_configured_endpoint_alone(settings: Any) -> None:
    settings.HUB_ENDPOINT, settings.HUB_TOKEN = ENDPOINT, "hf_environment"

    assert token_for(ENDPOINT) == "hf_environment"
    assert token_for("https://elsewhere.example") is None


def test_silence_is_remembered_for_a_moment_and_no_longer() -> None:
    now = 1000.0
    asked: list[str] = []

    def silent() -> str:
        asked.append("silent")
        raise Unreachable(ENDPOINT, "no route")

    def talking() -> str:
        asked.append("talking")
        return "hello"

    outages = OutageMemory(lambda: now)
    for question in (silent, talking):
        with pytest.raises(Unreachable, match="no route"):
            outages.ask(ENDPOINT, question)
    assert asked == ["silent"]
    assert outages.ask("https://elsewhere.example", talking) == "hello"
    assert outages.ask(ENDPOINT, talking, again=True) == "hello"

    with pytest.raises(Unreachable):
        outages.ask(ENDPOINT, silent)
    now += REMEMBERED_SECONDS
    assert outages.ask(ENDPOINT, talking) == "hello"


def test_a_connection_that_broke_off_is_no_silence() -> None:
    def breaking() -> str:
        raise ConnectionDropped(ENDPOINT, "reset")

    outages = OutageMemory(lambda: 0.0)
    with pytest.raises(ConnectionDropped):
        outages.ask(ENDPOINT, breaking)
    assert outages.ask(ENDPOINT, lambda: "hello") == "hello"
