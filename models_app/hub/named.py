"""Repositories as a person names them: owner/name, or a page's address."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_NAME = r"(?P<owner>[A-Za-z0-9][\w.-]{0,95})/(?P<name>[A-Za-z0-9][\w.-]{0,95})"
_ADDRESS = re.compile(rf"https?://(?P<host>[^/\s]+)/{_NAME}(?:[/?#].*)?", re.ASCII)
_HUB_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
_NOT_OWNERS = frozenset({"api", "collections", "datasets", "docs", "models", "papers", "settings", "spaces"})


@dataclass(frozen=True, slots=True)
class Named:
    """A repository that was named, not searched for."""

    owner: str
    name: str
    is_address: bool
    """As a page's address, pasted from a browser; else as owner/name, which may be words, too."""


def repository_named(words: str, endpoint: str) -> Named | None:
    """The repository whose name or address `words` are; None where they are neither."""
    if match := re.fullmatch(_NAME, words, re.ASCII):
        return Named(match["owner"], match["name"], False)
    match = _ADDRESS.fullmatch(words)
    if match is None or match["owner"] in _NOT_OWNERS:
        return None
    if match["host"] not in _HUB_HOSTS | {urlsplit(endpoint).netloc}:
        return None
    return Named(match["owner"], match["name"], True)
