"""What Django's own commands change of accounts, for the log: they know nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models.signals import post_save

from models_app.audit import note


@contextmanager
def noted(action: Any, told: str) -> Iterator[None]:
    """An entry by the box for each account that is stored in the block, also where the block fails afterwards.

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
        note(list(stored.values()), None, action, told)
