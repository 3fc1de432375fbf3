"""Commands on a box that was never started, or whose database is older than the code, say what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import BASE_DIR


def manage(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BASE_DIR / "manage.py"), *arguments],
        env={**os.environ, "HOSTUI_DATA_DIR": str(data_dir)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        "scan_models",
        "scan_models --json",
        "plan SmolLM2",
        "plan SmolLM2 --json",
        "plan {starter}",
        "load SmolLM2",
        "unload SmolLM2",
        "add_model {starter}",
        "create_key ada",
        "invite",
        "createsuperuser --noinput --username ada --email ada@box.example",
        "changepassword ada",
        "runhost",
    ],
)
def test_a_command_before_the_first_start_says_what_to_do(tmp_path: Path, starter_path: Path, command: str) -> None:
    done = manage(tmp_path / "data", *command.format(starter=starter_path).split())
    assert done.returncode == 1, done.stdout
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "This box has not been started yet" in line
    assert "make serve" in line


def test_status_says_so_too_and_programs_read_that_nothing_runs(tmp_path: Path) -> None:
    assert "This box has not been started yet" in manage(tmp_path, "status").stdout
    done = manage(tmp_path, "status", "--json")
    assert json.loads(done.stdout) == {"processes": {}, "host": None}
    assert done.stderr == ""


def test_a_database_of_an_earlier_version_is_told_as_such(tmp_path: Path) -> None:
    assert manage(tmp_path, "migrate", "models_app", "0001", "-v", "0").returncode == 0
    done = manage(tmp_path, "scan_models")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "earlier version" in line
    assert "make serve" in line


def test_a_fault_of_another_kind_is_not_hidden(tmp_path: Path) -> None:
    assert manage(tmp_path, "migrate", "-v", "0").returncode == 0
    code = "from django.db import connection as c; c.cursor().execute('select * from nowhere')"
    done = manage(tmp_path, "shell", "-v", "0", "-c", code)
    assert done.returncode == 1
    assert "no such table: nowhere" in done.stderr
