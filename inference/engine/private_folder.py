"""The folders of our sockets: only in one that is this user's alone does a socket's name say who listens."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class UnsafeFolder(PermissionError):
    """Others could have put something into `folder`, so what lies there is not used. The text says what to do."""

    def __init__(self, folder: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{folder} is not safe for sockets: {problem}. {remedy}")
        self.folder = folder


def make(folder: Path) -> None:
    """Makes `folder` for this user alone, or takes away what others may do in one that is this user's. Follows no link.

    Raises UnsafeFolder, OSError.
    """
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        _refuse_strangers(folder, os.lstat(folder))
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # Judged again: between the look and the opening it may have become another one.
            found = os.fstat(descriptor)
            _refuse_strangers(folder, found)
            if stat.S_IMODE(found.st_mode) != 0o700:
                os.fchmod(descriptor, 0o700)
        finally:
            os.close(descriptor)
    check(folder)


def check(folder: Path) -> None:
    """Returns where `folder` is this user's alone. Follows no link. Raises UnsafeFolder, FileNotFoundError."""
    found = os.lstat(folder)
    _refuse_strangers(folder, found)
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise UnsafeFolder(folder, "others may use it, too", f"Run: chmod 700 {folder}")
    above = os.stat(folder.parent)
    if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        raise UnsafeFolder(
            folder, "everybody may replace it", f"Run: chmod o-w {folder.parent} (or chmod +t, for a temporary folder)"
        )


def _refuse_strangers(folder: Path, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode):
        what = "a link" if stat.S_ISLNK(found.st_mode) else "no folder"
        raise UnsafeFolder(folder, f"it is {what}", "Remove it, and start hostui again.")
    if found.st_uid != os.geteuid():
        raise UnsafeFolder(
            folder,
            f"it belongs to user {found.st_uid}, and this is user {os.geteuid()}",
            "Run this as the user who owns the data folder, or remove that folder and start hostui again.",
        )


async def connect(path: str, limit: int) -> Streams:
    """A connection to the socket at `path`, in a folder of ours alone. Raises UnsafeFolder, OSError."""
    check(Path(path).parent)
    return await asyncio.open_unix_connection(path, limit=limit)
