"""Who is signed in, and whether they still are: a session may end while its sockets are open."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from inference.web.crossing.database_thread import reading


async def user_id_of(request: HttpRequest) -> int:
    """Of whoever is signed in, or sent a key: for views that nobody else reaches."""
    user_id = (await request.auser()).pk
    assert user_id is not None
    return user_id


@reading
def signed_in(session_key: str | None, user_id: int) -> bool:
    """Whether this session still is that user's, and the user may still log in. Raises StorageFailed."""
    return _is_signed_in(session_key, user_id)


@reading
def still_signed_in(sessions: Collection[tuple[str | None, int]]) -> set[tuple[str | None, int]]:
    """Those of `sessions` (key, user id) for which `signed_in` holds. Raises StorageFailed."""
    return {each for each in sessions if _is_signed_in(*each)}


def _is_signed_in(session_key: str | None, user_id: int) -> bool:
    sessions = import_module(settings.SESSION_ENGINE)
    request = SimpleNamespace(session=sessions.SessionStore(session_key))
    user = get_user(cast(Any, request))
    return bool(user.is_authenticated and user.is_active and user.pk == user_id)
