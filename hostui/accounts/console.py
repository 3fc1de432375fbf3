"""Records what Django's own commands change of accounts: they write no log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models.signals import post_save

from models_app.audit import record


@contextmanager
def recorded(action: Any, message: str) -> Iterator[None]:
    """Records each account that the block stores, also where it fails afterwards. Who did it is the box.

    Not in the change's transaction: such a command asks people, and meanwhile nobody else could write.
    """
    stored: dict[int, Any] = {}

    def remember(instance: Any, **_: Any) -> None:
        stored[instance.pk] = instance

    post_save.connect(remember, sender=get_user_model())
    try:
        yield
    finally:
        post_save.disconnect(remember, sender=get_user_model())
        record(list(stored.values()), None, action, message)
