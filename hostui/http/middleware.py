"""What every HTTP answer gets: a request id, one log line, and headers that leave a hostile page nothing to do."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from contextvars import Token

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from hostui.box import logs

logger = logging.getLogger("hostui.access")

_SOURCES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def content_security_policy(**changed: str) -> str:
    """The box's policy, with other sources where `changed` names a directive."""
    return "; ".join(f"{directive} {sources}" for directive, sources in {**_SOURCES, **changed}.items())


CONTENT_SECURITY_POLICY = content_security_policy()

Middleware = Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def security_headers(get_response: Middleware) -> Middleware:
    """Sets the Content-Security-Policy, and keeps pages out of shared caches."""

    def protect(response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "private, no-cache"
        return response

    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponseBase:
            return protect(await get_response(request))

        return middleware
    return lambda request: protect(get_response(request))  # type: ignore[arg-type]


@sync_and_async_middleware
def request_id(get_response: Middleware) -> Middleware:
    """Names the request (`request.request_id`, the `X-Request-Id` header, every log record), and logs it once.

    The name is ours: with one that the caller chose, two people's requests could carry the same.
    """

    def begin(request: HttpRequest) -> tuple[float, Token[str | None]]:
        request.request_id = uuid.uuid4().hex  # type: ignore[attr-defined]
        return time.perf_counter(), logs.request_id.set(request.request_id)  # type: ignore[attr-defined]

    def finish(request: HttpRequest, response: HttpResponseBase, began: float) -> HttpResponseBase:
        response.headers["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        level = logging.DEBUG if request.path == "/healthz" else logging.INFO
        facts = {
            "method": request.method,
            # The claim link is a secret while it is unused.
            "path": re.sub(r"^/claim/.+", "/claim/…", request.path),
            "status": response.status_code,
            "milliseconds": round((time.perf_counter() - began) * 1000, 1),
            "address": request.META.get("REMOTE_ADDR"),
        }
        logger.log(level, "%(method)s %(path)s %(status)s", facts, extra=facts)
        return response

    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponseBase:
            # The name stays set: the task is this request's own, and the rest of a streamed answer is logged under it.
            began, _ = begin(request)
            return finish(request, await get_response(request), began)

        return middleware

    def middleware_sync(request: HttpRequest) -> HttpResponseBase:
        began, token = begin(request)
        try:
            return finish(request, get_response(request), began)  # type: ignore[arg-type]
        finally:
            logs.request_id.reset(token)

    return middleware_sync
