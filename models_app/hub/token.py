"""The box's token for the Hub: sealed in the database, opened for requests to the endpoint it was entered for, never shown again."""

from __future__ import annotations

import base64
import re
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from models_app.audit import ADDITION, CHANGE, DELETION, record
from models_app.models import HubToken
from models_app.models.hub_token import SHOWN_CHARACTERS

_TOKEN = re.compile(r"[\x21-\x7e]{8,512}")


class BadToken(ValueError):
    """Not what a token looks like. The message is a sentence for a person."""


def token_for(endpoint: str) -> str | None:
    """The token to send there: the one entered, else HF_TOKEN's. None where there is none, or it can no longer be opened."""
    row = HubToken.objects.filter(endpoint=endpoint).first()
    if row is None:
        return str(settings.HUB_TOKEN) if settings.HUB_TOKEN and endpoint == settings.HUB_ENDPOINT else None
    return _open(row.sealed)


def stored_token(endpoint: str) -> HubToken | None:
    return HubToken.objects.filter(endpoint=endpoint).select_related("set_by").first()


def is_readable(row: HubToken) -> bool:
    """False where the box's secret key is not the one that it was sealed with."""
    return _open(row.sealed) is not None


def check_token(token: str) -> None:
    """Raises BadToken for what cannot be one."""
    if not _TOKEN.fullmatch(token):
        raise BadToken("A token is one word of letters, digits and signs, such as hf_… from the Hub's settings page.")


def set_token(endpoint: str, token: str, user: User) -> HubToken:
    """Replaces what was there; who did it is in the log. Raises BadToken."""
    token = token.strip()
    check_token(token)
    fields = {"sealed": _seal(token), "last_four": token[-SHOWN_CHARACTERS:], "set_by": user}
    with transaction.atomic():
        row, created = HubToken.objects.update_or_create(endpoint=endpoint, defaults=fields)
        record([row], user.pk, *(ADDITION, "Token entered.") if created else (CHANGE, "Another token entered."))
    return row


def forget_token(endpoint: str, user: User) -> bool:
    """Whether there was one."""
    with transaction.atomic():
        row = HubToken.objects.filter(endpoint=endpoint).first()
        if row is None:
            return False
        record([row], user.pk, DELETION, "Token forgotten.")
        row.delete()
    return True


def _fernet() -> Any:
    # Imported by whoever opens a token, and not by every process.
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(SHA256(), length=32, salt=None, info=b"hostui hub token").derive(settings.SECRET_KEY.encode())
    return Fernet(base64.urlsafe_b64encode(derived))


def _seal(token: str) -> str:
    return str(_fernet().encrypt(token.encode()).decode())


def _open(sealed: str) -> str | None:
    from cryptography.fernet import InvalidToken

    try:
        return str(_fernet().decrypt(sealed.encode()).decode())
    except InvalidToken:
        return None
