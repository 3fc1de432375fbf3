"""Static files are served beside Django, from the folders where they lie."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings

from hostui.http.static_files import StaticFiles

INNER = {"status": 299, "headers": {}, "body": b"inner"}


async def inner(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"inner"})


@pytest.fixture(scope="module")
def application() -> StaticFiles:
    return StaticFiles(inner, "/static/")


async def get(application: StaticFiles, path: str, method: str = "GET", **headers: str) -> dict[str, Any]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await application({"type": "http", "method": method, "path": path, "headers": raw}, None, send)
    start, *bodies = sent
    return {
        "status": start["status"],
        "headers": {name.decode().lower(): value.decode() for name, value in start["headers"]},
        "body": b"".join(message["body"] for message in bodies),
    }


async def test_a_file_of_ours_comes_whole_and_is_asked_for_again_cheaply(application: StaticFiles) -> None:
    content = (settings.BASE_DIR / "static" / "css" / "shared" / "tokens.css").read_bytes()
    first = await get(application, "/static/css/shared/tokens.css")
    assert (first["status"], first["body"]) == (200, content)
    assert first["headers"]["content-type"].startswith("text/css")
    assert first["headers"]["content-length"] == str(len(content))
    assert first["headers"]["cache-control"] == "no-cache"
    assert first["headers"]["x-content-type-options"] == "nosniff"
    again = await get(application, "/static/css/shared/tokens.css", if_none_match=first["headers"]["etag"])
    assert (again["status"], again["body"]) == (304, b"")
    since = await get(application, "/static/css/shared/tokens.css", if_modified_since=first["headers"]["last-modified"])
    assert since["status"] == 304


@pytest.mark.parametrize(
    ("path", "mime_type"),
    [
        ("/static/admin/css/base.css", "text/css"),
        ("/static/js/chat/page.js", "text/javascript"),
        ("/static/vendor/katex/katex.mjs", "text/javascript"),
        ("/static/vendor/dompurify/purify.es.mjs", "text/javascript"),
        ("/static/vendor/katex/fonts/KaTeX_Main-Regular.woff2", "font/woff2"),
        ("/static/img/icon.svg", "image/svg+xml"),
    ],
)
async def test_modules_styles_and_fonts_have_the_type_that_browsers_insist_on(
    application: StaticFiles, path: str, mime_type: str
) -> None:
    answer = await get(application, path, "HEAD")
    assert answer["status"] == 200
    assert answer["headers"]["content-type"].partition(";")[0] == mime_type
    assert answer["body"] == b""


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/css/",
        "/static/nowhere.css",
        "/static/../manage.py",
        "/static/css/../../manage.py",
        "/static/%2e%2e/manage.py",
        "/static//etc/passwd",
        "/login/",
        "/statics/css/shared/tokens.css",
    ],
)
async def test_everything_else_goes_on_to_django(application: StaticFiles, path: str) -> None:
    assert await get(application, path) == INNER


async def test_a_file_takes_no_post(application: StaticFiles) -> None:
    assert (await get(application, "/static/css/shared/tokens.css", "POST"))["status"] == 405
