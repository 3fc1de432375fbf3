"""Mounts of our own, where this machine lets us: of a folder on itself, and of a disk that is as small as the test wants. Linux."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CannotMount(Exception):
    """The message says why, as a phrase."""


def _run(*arguments: str) -> None:
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotMount(f"{arguments[0]}: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise CannotMount(said[0] if said else f"{arguments[0]}: status {done.returncode}")


@contextmanager
def own_mount(folder: Path) -> Iterator[None]:
    """Mounts `folder` on itself, so that what happens in it can be told from the rest of its disk. Raises CannotMount."""
    _run("mount", "--bind", str(folder), str(folder))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(folder))


class SmallDisk:
    """A file system of its own, in memory, mounted on `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, size_bytes: int) -> None:
        _run("mount", "-o", f"remount,size={size_bytes}", str(self.folder))


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Raises CannotMount."""
    _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=700", "hostui-test", str(folder))
    try:
        yield SmallDisk(folder)
    finally:
        _run("umount", "--lazy", str(folder))
