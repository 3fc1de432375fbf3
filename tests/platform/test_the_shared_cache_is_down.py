"""Sign-ins are counted in a cache that web processes share. Without it people come in, and guessing is as slow as ever."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.test import Client

from hostui.accounts.throttle import FAILURES_PER_NAME, SHARED

pytestmark = pytest.mark.django_db

OWN = "django.core.cache.backends.locmem.LocMemCache"


class Unreachable(BaseCache):
    """As Redis's is while nobody listens: whatever is asked of it fails."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def _refused(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("Error 111 connecting to box:6379. Connection refused.")

    add = get = get_many = set = incr = decr = delete = _refused


@pytest.fixture(autouse=True)
def _ada() -> None:
    get_user_model().objects.create_user("ada", password="correct horse battery")


@pytest.fixture
def shared_down(settings: Any) -> None:
    settings.CACHES = caches_with(f"{__name__}.Unreachable")
    caches["default"].clear()


@pytest.fixture
def shared_up(settings: Any) -> None:
    settings.CACHES = caches_with(OWN)
    for each in caches.all(initialized_only=False):
        each.clear()


def caches_with(backend: str) -> dict[str, Any]:
    return {"default": {"BACKEND": OWN, "LOCATION": "own"}, SHARED: {"BACKEND": backend, "LOCATION": "shared"}}


def attempt(password: str) -> str:
    answer = Client().post("/login/", {"username": "ada", "password": password}, REMOTE_ADDR="192.0.2.1")
    return answer.headers.get("Location") or answer.content.decode()


def test_the_right_password_logs_in_and_the_log_says_what_is_down(
    shared_down: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "hostui.accounts.throttle"):
        assert attempt("correct horse battery") == "/chat/"
    assert "Redis does not answer" in caplog.text


def test_guessing_ends_after_as_many_failures(shared_down: None) -> None:
    for _ in range(FAILURES_PER_NAME - 1):
        assert "Please enter a correct" in attempt("wrong")
    attempt("wrong")
    assert "Too many attempts" in attempt("correct horse battery")


def test_what_another_process_counted_counts_here(shared_up: None) -> None:
    for _ in range(FAILURES_PER_NAME):
        attempt("wrong")
    caches["default"].clear()
    assert "Too many attempts" in attempt("correct horse battery")


def test_coming_in_forgets_the_failures_in_both(shared_up: None) -> None:
    for _ in range(3):
        for _ in range(FAILURES_PER_NAME - 1):
            attempt("wrong")
        assert attempt("correct horse battery") == "/chat/"
