"""Browsers in which somebody has signed in before: what others guess wrong does not keep that person out there."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils.crypto import salted_hmac

COOKIE = "hostui_device"
REMEMBERED_SECONDS = 365 * 24 * 3600
MOST_NAMES = 16
"""People who share a browser. The one who signed in longest ago is forgotten."""
_SALT = "hostui.accounts.known_devices"


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """`id` is random. `names`: digests of the accounts that signed in there, the latest last; the names are nobody else's."""

    id: str
    names: tuple[str, ...]


def _digest(username: str) -> str:
    return salted_hmac(_SALT, username.lower(), algorithm="sha256").hexdigest()[:32]


def _read(request: HttpRequest) -> KnownDevice | None:
    try:
        found = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=REMEMBERED_SECONDS)
        return KnownDevice(str(found["id"]), tuple(str(name) for name in found["names"]))
    except (signing.BadSignature, KeyError, TypeError):
        return None


def known_device(request: HttpRequest | None, username: str) -> str | None:
    """The id of the device that asks, where this account has signed in on it before."""
    device = _read(request) if request is not None else None
    return device.id if device is not None and _digest(username) in device.names else None


def remember(request: HttpRequest, response: HttpResponseBase, username: str) -> None:
    """Has the browser keep that this account has just signed in there."""
    device = _read(request) or KnownDevice(secrets.token_urlsafe(16), ())
    name = _digest(username)
    names = [*(each for each in device.names if each != name), name][-MOST_NAMES:]
    response.set_cookie(
        COOKIE,
        signing.dumps({"id": device.id, "names": names}, salt=_SALT),
        max_age=REMEMBERED_SECONDS,
        path=reverse("login"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
