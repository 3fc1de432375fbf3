"""What the Hub says about repositories. Unknown is None."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from models_app.hub.names import RemoteFile


@dataclass(frozen=True, slots=True)
class FoundRepository:
    """A repository as a search finds it."""

    name: str
    """owner/name."""
    downloads: int | None = None
    """In the last month."""
    likes: int | None = None
    gated: bool = False
    private: bool = False
    updated_at: datetime | None = None
    architecture: str | None = None
    n_params: int | None = None
    n_ctx_train: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoteRepository:
    """A repository in one state."""

    found: FoundRepository
    revision: str
    """The commit."""
    licence: str | None = None
    base_models: tuple[str, ...] = ()
    """owner/name of what it was made from, as its card says."""
    files: tuple[RemoteFile, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        return self.found.name
