"""Everything needs a login, and guessing one is slow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from hostui.accounts.throttle import FAILURES_PER_ADDRESS, FAILURES_PER_NAME, WINDOW_SECONDS

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
    for _ in range(FAILURES_PER_NAME + 1):
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
