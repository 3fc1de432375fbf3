"""A data folder whose path is too long for sockets has them in a short folder that nobody else can be the first to make."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hostui.box.socket_folder import socket_folder


@pytest.fixture
def long_run_dir(tmp_path: Path) -> Path:
    made = tmp_path / ("x" * 100) / "run"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """As systemd makes it for a user. Not under pytest's own folders, whose paths are long."""
    with tempfile.TemporaryDirectory(prefix="xdg-") as made:
        yield Path(made)


def test_a_short_run_folder_has_them_itself(tmp_path: Path) -> None:
    assert socket_folder(Path("/srv/hostui/run"), None) == Path("/srv/hostui/run")


def test_the_users_runtime_folder_is_preferred(long_run_dir: Path, runtime_dir: Path) -> None:
    folder = socket_folder(long_run_dir, str(runtime_dir))
    assert folder.parent == runtime_dir
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_runtime_folder_that_others_may_use_is_not(long_run_dir: Path, runtime_dir: Path) -> None:
    runtime_dir.chmod(0o755)
    assert socket_folder(long_run_dir, str(runtime_dir)).parent != runtime_dir


def test_a_runtime_folder_that_is_a_link_is_not(long_run_dir: Path, runtime_dir: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(runtime_dir)
    assert link not in socket_folder(long_run_dir, str(link)).parents


def test_processes_of_other_environments_find_the_same_folder(long_run_dir: Path, runtime_dir: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda told: socket_folder(long_run_dir, told), [str(runtime_dir), None] * 16))
    assert len(found) == 1


def test_two_boxes_have_two_folders(long_run_dir: Path, tmp_path: Path, runtime_dir: Path) -> None:
    other = tmp_path / ("y" * 100)
    other.mkdir()
    assert socket_folder(long_run_dir, str(runtime_dir)) != socket_folder(other, str(runtime_dir))


def test_one_that_was_swept_away_is_made_again_for_the_processes_that_know_it(
    long_run_dir: Path, runtime_dir: Path
) -> None:
    folder = socket_folder(long_run_dir, str(runtime_dir))
    folder.rmdir()
    assert socket_folder(long_run_dir, str(runtime_dir)) == folder
    assert folder.is_dir()


def test_one_that_somebody_took_meanwhile_is_left(long_run_dir: Path, runtime_dir: Path, tmp_path: Path) -> None:
    folder = socket_folder(long_run_dir, str(runtime_dir))
    folder.rmdir()
    folder.symlink_to(tmp_path)
    again = socket_folder(long_run_dir, str(runtime_dir))
    assert again != folder
    assert os.path.realpath(again) == str(again)
