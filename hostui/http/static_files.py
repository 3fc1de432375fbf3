"""Static files, served beside Django: no middleware, no thread and no database for a stylesheet.

The index is built once from the places that Django's finders know, so there is nothing to collect before the first start.
"""

from __future__ import annotations

from typing import Any
from wsgiref.headers import Headers

from django.contrib.staticfiles.finders import get_finders
from whitenoise import WhiteNoise

_MIME_TYPES = {".mjs": "text/javascript", ".js": "text/javascript", ".woff2": "font/woff2"}
_REQUEST_HEADERS = {b"if-none-match": "HTTP_IF_NONE_MATCH", b"if-modified-since": "HTTP_IF_MODIFIED_SINCE"}


def _add_headers(headers: Headers, path: str, url: str) -> None:
    # Names carry no hash, so a browser asks each time and mostly hears 304.
    headers["Cache-Control"] = "no-cache"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"


class StaticFiles:
    """ASGI application: GET and HEAD of a known file, everything else goes on to `application`."""

    def __init__(self, application: Any, prefix: str) -> None:
        self._application = application
        self._prefix = prefix
        self._index = WhiteNoise(
            None, max_age=None, allow_all_origins=False, mimetypes=_MIME_TYPES, add_headers_function=_add_headers
        )
        for finder in get_finders():
            for path, storage in finder.list([]):
                folder = getattr(storage, "prefix", None)
                url = f"{prefix}{folder}/{path}" if folder else f"{prefix}{path}"
                if url not in self._index.files:  # the first finder wins, as in Django
                    self._index.add_file_to_dictionary(url, storage.path(path))

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        file = None
        if scope["path"].startswith(self._prefix):
            file = self._index.files.get(scope["path"])
        if file is None:
            await self._application(scope, receive, send)
            return
        wanted = {_REQUEST_HEADERS[k]: v.decode("latin-1") for k, v in scope["headers"] if k in _REQUEST_HEADERS}
        response = file.get_response(scope["method"], wanted)
        body = b""
        if response.file is not None:
            with response.file:
                body = response.file.read()
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        await send({"type": "http.response.start", "status": int(response.status), "headers": headers})
        await send({"type": "http.response.body", "body": body})
