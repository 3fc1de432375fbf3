"""Django's gettext with types: the one thing of Django's that sentences are made with."""

from __future__ import annotations

from django.utils import translation

__all__ = ["gettext", "ngettext"]


def gettext(message: str) -> str:
    """`message` in the language of whoever reads."""
    return translation.gettext(message)


def ngettext(singular: str, plural: str, number: int) -> str:
    """The form of the message that goes with `number`."""
    return translation.ngettext(singular, plural, number)
