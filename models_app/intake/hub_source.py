"""The Hub, as a download's source of bytes."""

from __future__ import annotations

from functools import partial

from models_app.intake.source import OpenFile

CHUNK_BYTES = 1 << 18
"""Larger ones are put together from what the socket gives, which costs more than they save."""


def hub_source(repository: str, revision: str) -> OpenFile:
    """Asks with the token that the box has now. Loads huggingface_hub."""
    from models_app.hub import hub

    return partial(hub().open, repository, revision, chunk_bytes=CHUNK_BYTES)
