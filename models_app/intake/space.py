"""Whether a disk has room."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models_app.units import format_bytes

FreeBytes = Callable[[Path], int]


def free_bytes(folder: Path) -> int:
    """What this process may still write there."""
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


def is_full(error: OSError) -> bool:
    """Whether a write failed for want of room, on the disk or within a quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """`reserve_bytes` stay free whatever is wanted: a disk that is full to the last byte stops the database, too."""

    free_bytes: int
    wanted_bytes: int
    reserve_bytes: int

    @property
    def lacking_bytes(self) -> int:
        """0: it fits."""
        return max(0, self.wanted_bytes + self.reserve_bytes - self.free_bytes)

    def sentence(self) -> str:
        """Why a job waits, for a person."""
        return f"{self.shortage()} It goes on when {format_bytes(self.lacking_bytes)} more are free."

    def shortage(self) -> str:
        """The first half of it: what does not fit."""
        return (
            f"The disk is too full: {format_bytes(self.wanted_bytes)} are still to come, {format_bytes(self.free_bytes)} "
            f"are free and {format_bytes(self.reserve_bytes)} have to stay so."
        )
