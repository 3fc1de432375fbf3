"""Every answer carries the headers that leave a hostile page nothing to do, and the admin works under them."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from hostui.accounts.models import ApiKey

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("ada"))
    return client


@pytest.mark.parametrize("path", ["/login/", "/chat/", "/nowhere/", "/claim/x/", "/admin/", "/healthz", "/v1/models"])
def test_every_answer_has_the_policy(client: Client, path: str) -> None:
    answer = client.get(path)
    policy = answer["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert "http" not in answer["Content-Security-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert re.fullmatch(r"[0-9a-f]{32}", answer["X-Request-Id"])


def test_a_request_id_is_never_the_callers(client: Client) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": "mine"})["X-Request-Id"] != "mine"


def test_a_strangers_host_gets_the_headers_too(client: Client) -> None:
    answer = client.get("/login/", HTTP_HOST="evil.example")
    assert answer.status_code == 400
    assert "script-src 'self'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/admin/",
        "/admin/auth/user/",
        "/admin/auth/user/add/",
        "/admin/accounts/invitation/add/",
        "/admin/accounts/apikey/",
        "/admin/models_app/variant/",
        "/admin/inference/conversation/",
        "/admin/password_change/",
        "/admin/auth/group/",
        "/admin/admin/logentry/",
        "/admin/models_app/job/",
        "/admin/models_app/hardwareprofile/",
    ],
)
def test_the_admins_pages_hold_nothing_that_their_policy_forbids(admin: Client, path: str) -> None:
    ApiKey.issue(get_user_model().objects.get())
    answer = admin.get(path)
    assert answer.status_code == 200
    policy = answer["Content-Security-Policy"].split("; ")
    # unfold's Alpine compiles expressions, and its colours are a style in the page; no script in the page runs all the same.
    assert "script-src 'self' 'unsafe-eval'" in policy
    assert "style-src 'self' 'unsafe-inline'" in policy
    html = answer.content.decode()
    scripts = re.findall(r"<script\b([^>]*)>\s*(.*?)</script>", html, re.DOTALL)
    for attributes, body in scripts:
        assert "src=" in attributes or not body.strip() or 'type="application/json"' in attributes, body[:80]
    assert not re.search(r"<[^>]+\son[a-z]+=", html)
    assert "javascript:" not in html
    for url in re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="([^"]+)"', html):
        assert re.match(r"/[^/]|data:", url), url


def test_the_policy_is_relaxed_for_the_admin_alone(admin: Client) -> None:
    for path in ("/", "/chat/", "/models/", "/hardware/", "/admin/login/", "/admin/nowhere/"):
        if path != "/admin/nowhere/":
            assert "unsafe" not in admin.get(path)["Content-Security-Policy"], path


def test_pages_are_kept_out_of_shared_caches(admin: Client) -> None:
    assert "private" in admin.get("/admin/")["Cache-Control"]
    assert "no-store" in admin.get("/healthz")["Cache-Control"]
