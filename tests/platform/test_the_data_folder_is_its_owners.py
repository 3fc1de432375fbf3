"""Whatever modes a data folder had, and whatever umask the shell has: other users of the machine read nothing of it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hostui.box.private_files import mend
from models_app.files import mode_for_models
from tests.stack import BASE_DIR

CODE = "from django.db import connection as c; c.ensure_connection(); c.cursor().execute('create table if not exists t (x)')"


def mode(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def manage(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BASE_DIR / "manage.py"), *arguments],
        env={**os.environ, "HOSTUI_DATA_DIR": str(folder)},
        umask=0o022,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """As a box of before, or a `mkdir`, left it."""
    data = tmp_path / "data"
    for name in ("", "run", "logs", "jobs", "jobs/queue", "models"):
        (data / name).mkdir()
        (data / name).chmod(0o755)
    for name in ("hostui.sqlite3", "hostui.sqlite3-wal", "hostui.sqlite3-shm", "logs/web.log", "run/serve.json"):
        (data / name).touch()
        (data / name).chmod(0o644)
    return data


def test_a_command_closes_what_was_open_and_says_so_once(old: Path) -> None:
    (old / "hostui.sqlite3-wal").unlink()
    (old / "hostui.sqlite3-shm").unlink()
    first = manage(old, "shell", "-v", "0", "-c", CODE)
    assert first.returncode == 0, first.stderr
    assert [path for path in (old, *old.rglob("*")) if mode(path) & 0o077] == []
    assert f"Other users of this machine could open {old} (755)" in first.stderr
    assert manage(old, "shell", "-v", "0", "-c", CODE).stderr == ""


def test_a_new_box_makes_everything_for_its_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    made = manage(
        data, "shell", "-v", "0", "-c", CODE + "; open('DIR/new', 'w'); print('made')".replace("DIR", str(data))
    )
    assert made.stdout == "made\n", made.stderr
    assert made.stderr == ""
    assert {path.name for path in data.iterdir()} >= {"new", "hostui.sqlite3", "secret_key", "run", "logs"}
    assert [path for path in (data, *data.rglob("*")) if mode(path) & 0o077] == []


def test_every_file_of_ours_is_closed(old: Path) -> None:
    assert len(mend(old, []).closed) == 11
    assert [path for path in (old, *old.rglob("*")) if mode(path) & 0o077] == []
    assert mend(old, []).closed == []


def test_links_are_not_followed(old: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "web.log").touch()
    for path in (elsewhere, elsewhere / "web.log"):
        path.chmod(0o755)
    (old / "models").rmdir()
    (old / "models").symlink_to(elsewhere)
    (old / "logs" / "web.log").unlink()
    (old / "logs" / "web.log").symlink_to(elsewhere / "web.log")
    (old / "run" / "serve.json").unlink()
    (old / "run").rmdir()
    (old / "run").symlink_to(elsewhere)
    mend(old, [])
    assert mode(elsewhere) == mode(elsewhere / "web.log") == 0o755


def test_what_belongs_to_another_user_is_left(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for root, who could."""
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(old).st_uid + 1)
    found = mend(old, [])
    assert found.closed == []
    assert found.left is not None
    assert mode(old / "logs" / "web.log") == 0o644


@pytest.mark.parametrize("why", ["home", "above home", "for everybody", "other things"])
def test_a_folder_that_others_need_stays_open_and_that_is_said(old: Path, why: str) -> None:
    keep = {"home": [old], "above home": [old / "ada"]}.get(why, [])
    if why == "for everybody":
        old.chmod(0o1777)
    if why == "other things":
        (old / "photos").mkdir(0o755)
    before = mode(old)
    said = mend(old, keep).sentence(old)
    assert mode(old) == before
    assert mode(old / "hostui.sqlite3") == 0o600
    assert said is not None
    assert "Give hostui a folder of its own" in said


def test_models_elsewhere_stay_readable_for_other_programs(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = data = tmp_path / "data"
    elsewhere = tmp_path / "disk"
    (data / "models").mkdir(parents=True)
    elsewhere.mkdir()
    (data / "linked").symlink_to(elsewhere)
    assert mode_for_models(data / "models") == 0o600
    assert mode_for_models(data / "linked") == 0o644
