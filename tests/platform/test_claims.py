"""Invitations: the claim of a fresh box, and links for everybody after."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from hostui.accounts.models import Invitation

pytestmark = pytest.mark.django_db

PASSWORDS = {"password1": "correct horse battery", "password2": "correct horse battery"}


@pytest.fixture
def claim() -> str:
    token = Invitation.claim_of_the_box()
    assert token is not None
    return f"/claim/{token}/"


def users() -> Any:
    return get_user_model().objects


def test_the_claim_makes_the_first_administrator_and_logs_them_in(client: Client, claim: str) -> None:
    page = client.get(claim)
    assert page.status_code == 200
    answer = client.post(claim, {"username": "ada", **PASSWORDS})
    assert (answer.status_code, answer["Location"]) == (302, "/chat/")
    ada = users().get()
    assert (ada.username, ada.is_superuser, ada.is_staff, ada.is_active) == ("ada", True, True, True)
    assert client.get("/admin/").status_code == 200
    assert Invitation.objects.get().used_by == ada


def test_a_bad_password_is_blamed_on_the_field_where_it_was_chosen(client: Client, claim: str) -> None:
    form = client.post(claim, {"username": "ada", "password1": "1234", "password2": "1234"}).context["form"]
    assert set(form.errors) == {"password1"}
    form = client.post(claim, {"username": "ada", **PASSWORDS, "password2": "another horse battery"}).context["form"]
    assert set(form.errors) == {"password2"}


def test_it_works_once(client: Client, claim: str) -> None:
    client.post(claim, {"username": "ada", **PASSWORDS})
    for method in (Client().get, Client().post):
        assert method(claim, {"username": "eve", **PASSWORDS}).status_code == 410
    assert users().count() == 1


def test_a_refused_form_does_not_use_it_up(client: Client, claim: str) -> None:
    for form in (
        {"username": "ada", "password1": "12345678", "password2": "12345678"},
        {"username": "ada", "password1": "correct horse battery", "password2": "another horse battery"},
        {"username": "", **PASSWORDS},
        {"username": "ada"},
    ):
        answer = client.post(claim, form)
        assert answer.status_code == 200
        assert answer.context["form"].errors
    assert client.post(claim, {"username": "ada", **PASSWORDS}).status_code == 302


def test_a_name_that_exists_is_refused_and_the_link_stays(client: Client, claim: str) -> None:
    users().create_user("ada")
    assert client.post(claim, {"username": "ada", **PASSWORDS}).status_code == 200
    assert client.post(claim, {"username": "grace", **PASSWORDS}).status_code == 302


def test_a_newer_claim_ends_the_earlier_one(client: Client, claim: str) -> None:
    Invitation.claim_of_the_box()
    assert client.get(claim).status_code == 410


def test_there_is_no_claim_once_there_is_an_administrator(client: Client, claim: str) -> None:
    users().create_superuser("ada")
    assert Invitation.claim_of_the_box() is None
    assert client.post(claim, {"username": "eve", **PASSWORDS}).status_code == 410
    assert users().count() == 1


def test_an_old_or_invented_token_is_refused(client: Client, claim: str) -> None:
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get(claim).status_code == 410
    assert client.get("/claim/invented/").status_code == 410


def test_only_a_digest_is_stored(claim: str) -> None:
    token = claim.split("/")[2]
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_invitation")
        assert token not in str(cursor.fetchall())


def test_an_invitation_makes_a_member_who_is_no_administrator(client: Client) -> None:
    out = StringIO()
    call_command("invite", "--json", stdout=out)
    link = json.loads(out.getvalue())["link"]
    path = "/" + link.split("/", 3)[3]
    assert client.post(path, {"username": "bob", **PASSWORDS}).status_code == 302
    bob = users().get(username="bob")
    assert (bob.is_superuser, bob.is_staff) == (False, False)
    assert client.get("/admin/").status_code == 302


def test_an_administrator_invites_in_the_admin_and_sees_the_link_once(client: Client) -> None:
    client.force_login(users().create_superuser("ada"), backend="hostui.accounts.throttle.ThrottledModelBackend")
    answer = client.post("/admin/accounts/invitation/add/", {"is_superuser": ""}, follow=True)
    (message,) = [str(m) for m in answer.context["messages"] if "/claim/" in str(m)]
    path = "/claim/" + message.split("/claim/")[1].split("/")[0] + "/"
    invitation = Invitation.objects.get()
    assert invitation.created_by.username == "ada"
    assert Client().post(path, {"username": "bob", **PASSWORDS}).status_code == 302
    assert "/claim/" not in client.get("/admin/accounts/invitation/").content.decode()


@pytest.fixture
def _threads_may_use_the_database() -> Iterator[None]:
    yield
    connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_threads_may_use_the_database")
def test_of_people_who_claim_at_the_same_moment_one_wins() -> None:
    token = Invitation.claim_of_the_box()
    ready = threading.Barrier(6)
    statuses: list[int] = []

    def run(number: int) -> None:
        client = Client()
        ready.wait()
        statuses.append(client.post(f"/claim/{token}/", {"username": f"person{number}", **PASSWORDS}).status_code)
        connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [302, 410, 410, 410, 410, 410]
    assert users().count() == 1
