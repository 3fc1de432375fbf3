"""Everything needs a login, and guessing one is slow."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from hostui.accounts.known_devices import COOKIE
from hostui.accounts.throttle import FAILURES_PER_ACCOUNT, FAILURES_PER_ADDRESS, FAILURES_PER_NAME, WINDOW_SECONDS

pytestmark = pytest.mark.django_db

OPEN = {"healthz", "favicon.ico", "words.js", "login/", "claim/<str:token>/"}
FOR_PROGRAMS = {"metrics"}
"""Like all below v1/, they refuse a stranger with 401: a program follows no login page."""


@pytest.fixture(autouse=True)
def _forget_failures() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def ada() -> None:
    get_user_model().objects.create_user("ada", password="correct horse battery")


def attempt(client: Client, password: str, name: str = "ada", address: str = "192.0.2.1") -> int:
    return client.post("/login/", {"username": name, "password": password}, REMOTE_ADDR=address).status_code


def patterns(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry, path)
        else:
            yield path, entry


def test_no_page_opens_without_a_login_but_the_few_that_must() -> None:
    unguarded = {
        path
        for path, entry in patterns(get_resolver())
        if not getattr(entry.callback, "login_required", True) and not path.startswith("v1/")
    }
    # The admin guards itself, and marks its own login and script catalogue as open.
    assert {path for path in unguarded if not path.startswith("admin/")} == OPEN | FOR_PROGRAMS


@pytest.mark.parametrize("path", [*FOR_PROGRAMS, "v1/models"])
def test_a_program_without_a_key_is_refused(client: Client, path: str) -> None:
    assert client.get(f"/{path}").status_code == 401


@pytest.mark.parametrize("path", ["/", "/chat/", "/admin/", "/admin/login/", "/nowhere/"])
def test_a_stranger_is_led_to_the_one_login_page_or_nowhere(client: Client, path: str) -> None:
    answer = client.get(path, follow=True)
    if path == "/nowhere/":
        assert answer.status_code == 404
    else:
        assert answer.redirect_chain[-1][0].startswith("/login/?next=" if path != "/admin/login/" else "/login/")


def test_the_right_password_logs_in_and_the_cookie_is_out_of_reach_for_scripts(client: Client, ada: None) -> None:
    assert attempt(client, "correct horse battery") == 302
    cookie = client.cookies["hostui_session"]
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Lax"


def test_login_leads_on_to_our_own_pages_only(client: Client, ada: None) -> None:
    form = {"username": "ada", "password": "correct horse battery"}
    assert Client().post("/login/?next=/chat/", form)["Location"] == "/chat/"
    assert Client().post("/login/?next=https://evil.example/", form)["Location"] == "/chat/"


def test_logging_out_needs_a_post(client: Client, ada: None) -> None:
    attempt(client, "correct horse battery")
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert "_auth_user_id" not in client.session


def test_after_some_failures_even_the_right_password_waits(client: Client, ada: None) -> None:
    for _ in range(FAILURES_PER_NAME):
        assert attempt(client, "wrong") == 200
    answer = client.post("/login/", {"username": "ada", "password": "correct horse battery"}, REMOTE_ADDR="192.0.2.1")
    assert answer.status_code == 200
    assert f"Wait {WINDOW_SECONDS // 60} minutes" in answer.content.decode()


def test_another_address_is_not_locked_out_by_it(client: Client, ada: None) -> None:
    for _ in range(FAILURES_PER_ACCOUNT + 1):
        attempt(client, "wrong")
    assert attempt(client, "correct horse battery", address="192.0.2.2") == 302


def test_one_address_cannot_try_every_name(client: Client, ada: None) -> None:
    for number in range(FAILURES_PER_ADDRESS):
        attempt(client, "wrong", name=f"name{number}")
    assert attempt(client, "correct horse battery") == 200


def test_coming_in_forgets_the_failures_before(client: Client, ada: None) -> None:
    for _ in range(3):
        for _ in range(FAILURES_PER_NAME - 1):
            attempt(Client(), "wrong")
        assert attempt(Client(), "correct horse battery") == 302


def test_a_form_without_our_token_is_refused(ada: None) -> None:
    client = Client(enforce_csrf_checks=True)
    assert attempt(client, "correct horse battery") == 403


@pytest.fixture
def known(ada: None) -> Client:
    """A browser in which ada has signed in, and out."""
    client = Client()
    assert attempt(client, "correct horse battery") == 302
    client.post("/logout/")
    return client


@pytest.mark.parametrize("address", ["192.0.2.1", "192.0.2.2"])
def test_what_others_guess_keeps_nobody_out_of_a_browser_where_they_signed_in_before(
    known: Client, address: str
) -> None:
    for number in range(FAILURES_PER_ACCOUNT):
        attempt(Client(), "wrong", address=f"192.0.2.{number % 20}")
    for number in range(FAILURES_PER_ADDRESS):
        attempt(Client(), "wrong", name=f"name{number}", address=address)
    assert attempt(Client(), "correct horse battery", address=address) == 200
    assert attempt(known, "correct horse battery", address=address) == 302


def test_one_account_is_not_tried_from_every_address(ada: None) -> None:
    for number in range(FAILURES_PER_ACCOUNT):
        attempt(Client(), "wrong", address=f"198.51.100.{number}")
    assert attempt(Client(), "correct horse battery", address="203.0.113.1") == 200


def test_guessing_is_slow_in_a_known_browser_too(known: Client) -> None:
    for number in range(FAILURES_PER_NAME):
        attempt(known, "wrong", address=f"198.51.100.{number}")
    assert attempt(known, "correct horse battery") == 200


def test_a_browser_knows_those_who_signed_in_there_and_nobody_else(known: Client) -> None:
    get_user_model().objects.create_user("bob", password="correct horse battery")
    for _ in range(FAILURES_PER_NAME):
        attempt(Client(), "wrong", name="bob")
    assert attempt(known, "correct horse battery", name="bob") == 200
    assert attempt(known, "correct horse battery", name="bob", address="192.0.2.2") == 302
    known.post("/logout/")
    assert attempt(known, "correct horse battery", name="ADA".lower()) == 302


@pytest.mark.parametrize("forged", ["", "x", "e30:1w:x", '{"id": "x", "names": []}'])
def test_a_forged_device_is_none(ada: None, forged: str) -> None:
    for _ in range(FAILURES_PER_NAME):
        attempt(Client(), "wrong")
    client = Client()
    client.cookies[COOKIE] = forged
    assert attempt(client, "correct horse battery") == 200


def test_the_devices_cookie_is_out_of_reach_for_scripts_and_names_nobody(known: Client) -> None:
    cookie = known.cookies[COOKIE]
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/login/"
    assert "ada" not in cookie.value


@pytest.mark.parametrize(
    ("name", "logged"),
    [("ada", "ada"), ("eve\nada", "eve\ufffdada"), ("\u202eadmin", "\ufffdadmin"), ("x" * 5000, None)],
)
def test_failed_sign_ins_are_logged_by_name(
    ada: None, caplog: pytest.LogCaptureFixture, name: str, logged: str | None
) -> None:
    with caplog.at_level(logging.WARNING, "hostui.accounts.throttle"):
        attempt(Client(), "hunter2hunter2", name=name)
    if logged is None:  # the form refuses it unseen
        assert len(caplog.text) < 1000
        return
    assert f"sign-in failed for {logged} from 192.0.2.1" in caplog.text
    assert "hunter2" not in caplog.text


def test_neighbours_of_one_ipv6_network_are_counted_as_one(ada: None) -> None:
    """Whoever has one such address has a whole /64 of them."""
    for number in range(FAILURES_PER_NAME):
        attempt(Client(), "wrong", address=f"2001:db8:0:1::{number + 1:x}")
    assert attempt(Client(), "correct horse battery", address="2001:db8:0:1:ffff::1") == 200
    assert attempt(Client(), "correct horse battery", address="2001:db8:0:2::1") == 302


def test_tries_at_many_other_names_make_none_forgotten(ada: None) -> None:
    for number in range(FAILURES_PER_ACCOUNT):
        attempt(Client(), "wrong", address=f"198.51.100.{number}")
    for number in range(400):
        attempt(Client(), "wrong", name=f"name{number}", address=f"203.0.113.{number % 200}")
    assert attempt(Client(), "correct horse battery") == 200


def test_a_flood_of_tries_does_not_flood_the_log(ada: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hostui.accounts.throttle"):
        for _ in range(3 * FAILURES_PER_NAME):
            attempt(Client(), "wrong")
    lines = [record.getMessage() for record in caplog.records if "sign-in failed" in record.getMessage()]
    assert len(lines) == FAILURES_PER_NAME
    assert [line for line in lines if "further tries are refused unseen" in line] == lines[-1:]
