"""The data folder is its owner's alone: what is made is made so, and what others could read from before is closed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

UMASK = 0o077
_FOLDERS = ("run", "logs", "jobs", "jobs/queue", "jobs/control", "models")
"""Ours in the data folder. What lies in `models` is closed by the folder's own mode; a link to elsewhere is the owner's affair."""
_FILES = re.compile(r"secret_key.*|.*\.sqlite3(-wal|-shm|-journal)?")
"""Ours beside them. In run/ and logs/ every file is."""
_COMMON_FOLDERS = ("lost+found",)


@dataclass(frozen=True, slots=True)
class Mended:
    """`closed`: what others could use, and no longer can, with its mode before. `left`: why the data folder itself stays open."""

    closed: Sequence[tuple[Path, int]]
    left: str | None

    def sentence(self, data_dir: Path) -> str | None:
        """What to log; None where all was well."""
        said = []
        if self.closed:
            names = ", ".join(f"{path} ({mode:o})" for path, mode in self.closed[:6])
            more = f" and {len(self.closed) - 6} more" if len(self.closed) > 6 else ""
            said.append(f"Other users of this machine could open {names}{more}; closed to them now.")
        if self.left:
            said.append(
                f"Other users of this machine may enter {data_dir}, which {self.left}. Give hostui a folder of its own."
            )
        return " ".join(said) or None


def mend(data_dir: Path, keep_open: Sequence[Path]) -> Mended:
    """Takes away what others may do with our folders and files in `data_dir`. Follows no link; touches this user's files only.

    `keep_open`: folders that others need, such as the home folder: neither they nor those above them are closed. Raises nothing.
    """
    closed: list[tuple[Path, int]] = []
    left = None
    with suppress(OSError):
        found = os.stat(data_dir)
        if stat.S_IMODE(found.st_mode) & 0o077:
            left = _why_it_stays(data_dir, found, keep_open)
        if left is None:
            closed += _close(data_dir)
    for folder in _FOLDERS:
        closed += _close(data_dir / folder)
    for path in _files(data_dir):
        closed += _close(path)
    return Mended(closed, left)


def _why_it_stays(data_dir: Path, found: os.stat_result, keep_open: Sequence[Path]) -> str | None:
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}"
    if found.st_mode & stat.S_ISVTX:
        return "is a folder for everybody"
    if any(data_dir == each or data_dir in each.parents for each in keep_open):
        return "holds more than this box"
    ours = {name.partition("/")[0] for name in _FOLDERS}
    with os.scandir(data_dir) as entries:
        others = [
            entry.name
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and entry.name not in ours and entry.name not in _COMMON_FOLDERS
        ]
    return f"holds other things, too, such as {min(others)}" if others else None


def _files(data_dir: Path) -> Iterator[Path]:
    for folder, wanted in ((data_dir, _FILES), (data_dir / "run", None), (data_dir / "logs", None)):
        # A link's target is no folder of this box.
        if folder.is_symlink():
            continue
        with suppress(OSError), os.scandir(folder) as entries:
            yield from (folder / entry.name for entry in entries if wanted is None or wanted.fullmatch(entry.name))


def _close(path: Path) -> list[tuple[Path, int]]:
    """What was closed: nothing, or the path with its mode before.

    By name and not by a descriptor: closing one of SQLite's file would drop the locks that this process holds on it. Between
    look and change only its owner can put another thing there, as the folders above are closed first.
    """
    with suppress(OSError):
        found = os.lstat(path)
        mode = stat.S_IMODE(found.st_mode)
        is_ours = found.st_uid == os.geteuid() and (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))
        if is_ours and mode & 0o077:
            os.chmod(path, mode & ~0o077)
            return [(path, mode)]
    return []
