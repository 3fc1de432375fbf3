"""How fast all downloads together may be: what the owner set on a page, else HOSTUI_DOWNLOAD_LIMIT."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from models_app.audit import CHANGE, record
from models_app.hardware.profile import BadAmount, parse_bytes
from models_app.models import LEAST_BYTES_PER_SECOND, DownloadLimit
from models_app.units import format_bytes

_THE_ROW = 1


class BadLimit(ValueError):
    """The message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class CurrentLimit:
    """The limit that holds now."""

    bytes_per_second: int | None
    """None: no limit."""
    is_set: bool
    """On a page; else it is the environment's, or nobody's."""

    @property
    def words(self) -> str:
        return limit_text(self.bytes_per_second)


def limit_text(bytes_per_second: int | None) -> str:
    return "no limit" if bytes_per_second is None else f"{format_bytes(bytes_per_second)}/s"


def current_limit() -> CurrentLimit:
    row = DownloadLimit.objects.filter(pk=_THE_ROW).first()
    if row is None:
        return CurrentLimit(settings.DOWNLOAD_BYTES_PER_SECOND, is_set=False)
    return CurrentLimit(row.bytes_per_second, is_set=True)


def read_limit(text: str) -> int | None:
    """`10MiB`, `2.5 MB/s`, or nothing for no limit. Raises BadLimit."""
    if not text.strip():
        return None
    try:
        amount = parse_bytes(text.strip()[:40])
    except BadAmount:
        raise BadLimit(
            f"“{text.strip()[:40]}” is no speed. Write it as 10MiB or 2.5 MB, or nothing for no limit."
        ) from None
    if amount < LEAST_BYTES_PER_SECOND:
        unit = "" if any(letter.isalpha() for letter in text) else f" Did you mean {text.strip()}MB?"
        raise BadLimit(f"{format_bytes(amount)} a second is too little to download anything.{unit}")
    return amount


def set_limit(bytes_per_second: int | None, user: User) -> None:
    """Running downloads follow within seconds."""
    with transaction.atomic():
        before = current_limit()
        row, _created = DownloadLimit.objects.update_or_create(
            pk=_THE_ROW, defaults={"bytes_per_second": bytes_per_second, "set_by": user}
        )
        record([row], user.pk, CHANGE, f"Download limit: {before.words} → {limit_text(bytes_per_second)}.")


def forget_limit(user: User) -> None:
    """Forgets what was set on a page: the environment's limit holds again."""
    with transaction.atomic():
        row = DownloadLimit.objects.filter(pk=_THE_ROW).first()
        if row is None:
            return
        record(
            [row], user.pk, CHANGE, f"Download limit: {limit_text(row.bytes_per_second)} → as the box was started with."
        )
        row.delete()
