"""Whose a request is. One person is one owner and has one turn in the queue, whatever door they come through."""

from __future__ import annotations

from dataclasses import dataclass


def owner_of(user_id: int) -> str:
    """The name by which host and workers know a person. Fairness goes round it, and a prompt cache is reused within it alone.

    No job's name for itself is a number, so nothing else is ever taken for a person.
    """
    return str(user_id)


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks: a person, by the API key `key_id` where they used one."""

    user_id: int
    key_id: int | None = None

    @property
    def owner(self) -> str:
        return owner_of(self.user_id)
