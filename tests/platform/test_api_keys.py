"""Keys for programs: made by a command or in the admin, known on /v1/ and nowhere else."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import AsyncClient, Client
from django.utils import timezone

from hostui.accounts.models import ApiKey

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Any:
    return get_user_model().objects.create_user("ada")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def models(key: str | None) -> int:
    return Client().get("/v1/models", headers=bearer(key) if key else {}).status_code


def test_the_command_prints_the_key_once_and_stores_a_digest(ada: Any) -> None:
    out, err = StringIO(), StringIO()
    call_command("create_key", "ada", "--name", "editor", stdout=out, stderr=err)
    key = out.getvalue().strip()
    assert key.startswith("hostui-")
    assert key not in err.getvalue()
    assert models(key) == 200
    row = ApiKey.objects.get()
    assert (row.user, row.name, key.startswith(row.prefix), len(row.prefix)) == (ada, "editor", True, 12)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_apikey")
        assert key not in str(cursor.fetchall())


def test_json_carries_the_same_facts(ada: Any) -> None:
    out = StringIO()
    call_command("create_key", "ada", "--json", stdout=out)
    assert set(json.loads(out.getvalue())) == {"user", "name", "key"}


def test_an_unknown_user_is_an_error_that_names_the_known(ada: Any) -> None:
    with pytest.raises(CommandError, match="no user 'eve'; there is ada"):
        call_command("create_key", "eve")
    ada.is_active = False
    ada.save()
    with pytest.raises(CommandError, match="not active"):
        call_command("create_key", "ada")


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic hostui-x", "Bearer hostui-unknown", "Bearer sk-unknown"]
)
def test_without_a_good_key_v1_answers_401_in_openais_form(header: str) -> None:
    answer = Client().get("/v1/models", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert error["code"] == "invalid_api_key"
    assert error["message"]
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_revoked_key_and_an_inactive_users_key_end_at_once(ada: Any) -> None:
    row, key = ApiKey.issue(ada)
    assert models(key) == 200
    ada.is_active = False
    ada.save()
    assert models(key) == 401
    ada.is_active = True
    ada.save()
    row.revoked_at = timezone.now()
    row.save()
    assert models(key) == 401


def test_a_session_means_nothing_on_v1_and_a_key_means_nothing_elsewhere(client: Client, ada: Any) -> None:
    client.force_login(ada)
    assert client.get("/v1/models").status_code == 401
    _, key = ApiKey.issue(ada)
    assert Client().get("/chat/", headers=bearer(key)).status_code == 302


def test_last_use_is_kept_to_the_minute(ada: Any) -> None:
    row, key = ApiKey.issue(ada)
    models(key)
    row.refresh_from_db()
    first = row.last_used_at
    assert first is not None
    models(key)
    row.refresh_from_db()
    assert row.last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=2))
    models(key)
    row.refresh_from_db()
    assert row.last_used_at > first - timedelta(minutes=1)


@pytest.mark.django_db(transaction=True)
async def test_the_asynchronous_chain_knows_keys_too() -> None:
    ada = await get_user_model().objects.acreate(username="ada")
    _, key = await sync_to_async(ApiKey.issue)(ada)
    assert (await AsyncClient().get("/v1/models", headers=bearer(key))).status_code == 200
    assert (await AsyncClient().get("/v1/models")).status_code == 401


def test_an_administrator_sees_prefixes_and_revokes(client: Client, ada: Any) -> None:
    row, key = ApiKey.issue(ada)
    client.force_login(get_user_model().objects.create_superuser("root"))
    page = client.get("/admin/accounts/apikey/").content.decode()
    assert row.prefix in page
    assert key not in page
    client.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [row.pk]})
    assert models(key) == 401


def test_an_administrator_makes_a_key_in_the_admin_and_sees_it_once(client: Client, ada: Any) -> None:
    client.force_login(
        get_user_model().objects.create_superuser("root"), backend="hostui.accounts.throttle.ThrottledModelBackend"
    )
    answer = client.post("/admin/accounts/apikey/add/", {"user": ada.pk, "name": "editor"}, follow=True)
    (message,) = [str(each) for each in answer.context["messages"] if "shown only now" in str(each)]
    holder = ApiKey.holder(message.split()[-1])
    assert holder is not None
    assert (holder.user, holder.name) == (ada, "editor")
    assert message.split()[-1] not in client.get("/admin/accounts/apikey/").content.decode()
