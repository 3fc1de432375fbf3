"""The box's own secret key, made once per data folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def load_or_create(path: Path) -> str:
    """The key in `path`, created with mode 0600 where there is none. Processes that start together agree on one key."""
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        pass
    # Written aside and linked into place: nobody ever reads a half-written key, and the first link wins.
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(60))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text(encoding="ascii")
