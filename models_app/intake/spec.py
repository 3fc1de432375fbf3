"""What a download is to fetch, and the names its files get here. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models_app.hub.names import RemoteFile

PART = ".part"


@dataclass(frozen=True, slots=True)
class DownloadSpec:
    """One variant: `files` in the order of its shards, each with a digest. `name` is the variant's, and names the files here."""

    repository: str
    revision: str
    name: str
    files: tuple[RemoteFile, ...]

    @property
    def total_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    def targets(self, folder: Path) -> tuple[Path, ...]:
        """Where the files come to lie. Their names owe nothing to the remote's."""
        return tuple(folder / name for name in file_names(self.name, len(self.files)))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, spec: Mapping[str, Any]) -> DownloadSpec:
        """Reads what `to_json` gave."""
        files = tuple(RemoteFile(file["path"], file["size_bytes"], file["sha256"]) for file in spec["files"])
        return cls(spec["repository"], spec["revision"], spec["name"], files)


def file_names(name: str, n_files: int) -> tuple[str, ...]:
    """File names as llama.cpp wants them for a split model: name-00001-of-0000N.gguf."""
    if n_files == 1:
        return (f"{name}.gguf",)
    return tuple(f"{name}-{number:05d}-of-{n_files:05d}.gguf" for number in range(1, n_files + 1))


def part_of(target: Path) -> Path:
    """Where a file grows until it is whole."""
    return target.with_name(target.name + PART)
