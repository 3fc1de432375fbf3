"""What the test Hub holds: repositories of files that lie on this disk, each state of them a commit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

_BLOCK_BYTES = 1 << 20
LFS_FROM_BYTES = 10 * 1024 * 1024
"""The Hub keeps larger files in LFS, and of smaller ones those that .gitattributes names: *.gguf is among them."""


@dataclass(frozen=True)
class RemoteFile:
    """One file. Its path may be as hostile as the test likes: nothing is looked up by it on this disk."""

    path: str
    source: Path
    known_sha256: str | None = None
    """Spares reading a file of many GB; None: it is read when first asked for."""

    @cached_property
    def size_bytes(self) -> int:
        return self.source.stat().st_size

    @cached_property
    def sha256(self) -> str:
        if self.known_sha256 is not None:
            return self.known_sha256
        digest = hashlib.sha256()
        with self.source.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()

    @property
    def blob_id(self) -> str:
        """A git object id's look; what it is the hash of does not matter to anybody."""
        return hashlib.sha1(f"{self.path}:{self.source}".encode(), usedforsecurity=False).hexdigest()

    @property
    def is_lfs(self) -> bool:
        return self.path.casefold().endswith(".gguf") or self.size_bytes >= LFS_FROM_BYTES


@dataclass
class RemoteRepository:
    name: str
    """owner/name."""
    gated: bool = False
    """Facts and file list are public; the bytes are for those whom the owner let in."""
    private: bool = False
    """For everybody else it does not exist."""
    downloads: int = 0
    likes: int = 0
    tags: tuple[str, ...] = ("gguf",)
    card: Mapping[str, Any] = field(default_factory=dict)
    """The model card's front matter: license, base_model and so on."""
    gguf: Mapping[str, Any] | None = None
    """What the Hub itself found in a header: architecture, context_length, total."""
    readers: set[str] = field(default_factory=set)
    """The users who may read it although it is gated or private."""
    commits: dict[str, dict[str, RemoteFile]] = field(default_factory=dict)
    """Newest last."""

    @property
    def head(self) -> str:
        return next(reversed(self.commits))

    def commit(self, files: Mapping[str, Path], sha256: Mapping[str, str] | None = None) -> str:
        """A new state of the repository, made of these files alone; its commit. `sha256`: by path, where it is known."""
        known = sha256 or {}
        state = {path: RemoteFile(path, source, known.get(path)) for path, source in files.items()}
        salt = json.dumps([self.name, len(self.commits), sorted(state)])
        commit = hashlib.sha1(salt.encode(), usedforsecurity=False).hexdigest()
        self.commits[commit] = state
        return commit

    def files(self, revision: str) -> dict[str, RemoteFile] | None:
        """None where there is no such revision."""
        return self.commits.get(self.head if revision == "main" else revision)

    def commit_of(self, revision: str) -> str:
        return self.head if revision == "main" else revision
