"""Programs on /v1/ are known by their key alone; a browser's session means nothing there, so no page can act through it.

/metrics is only read, so it takes either: a key where one is sent, else the session.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.decorators import sync_and_async_middleware

from hostui.accounts.models import KEY_START, ApiKey
from hostui.http.middleware import Middleware


def _refusal(detail: str) -> JsonResponse:
    """401 in the form that OpenAI's clients read."""
    error = {"message": detail, "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}
    return JsonResponse({"error": error}, status=401, headers={"WWW-Authenticate": 'Bearer realm="hostui"'})


def _admit(request: HttpRequest) -> JsonResponse | None:
    """Sets `request.user` and `request.api_key` from the bearer key, or returns the refusal. Reads the database."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        return _refusal(f"No API key: send Authorization: Bearer {KEY_START}…, made with manage.py create_key USER.")
    row = ApiKey.holder(key.strip())
    if row is None:
        return _refusal("This API key is unknown or revoked, or its user is no longer active.")
    user = row.user

    async def auser() -> Any:
        return user

    request.user = user
    request.auser = auser
    request.api_key = row  # type: ignore[attr-defined]
    return None


def _goes_by_key(request: HttpRequest) -> bool:
    if request.path_info == "/metrics":
        return "Authorization" in request.headers
    return request.path_info.startswith("/v1/")


@sync_and_async_middleware
def api_key(get_response: Middleware) -> Middleware:
    if iscoroutinefunction(get_response):
        admit = sync_to_async(_admit)

        async def middleware(request: HttpRequest) -> HttpResponseBase:
            refusal = await admit(request) if _goes_by_key(request) else None
            return refusal or await get_response(request)

        return middleware

    def middleware_sync(request: HttpRequest) -> HttpResponseBase:
        refusal = _admit(request) if _goes_by_key(request) else None
        return refusal or get_response(request)  # type: ignore[return-value]

    return middleware_sync
