"""Settings are read strictly: a typing error ends the program with one line instead of changing what it does."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hostui.box import secret_key
from hostui.box.env import BadSetting, EnvironmentVariables, parse_size
from tests.stack import BASE_DIR


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("4096", 4096),
        ("11.5GiB", 12_348_030_976),
        ("12 GB", 12_000_000_000),
        ("1kb", 1000),
        (" 2 MiB ", 2_097_152),
        ("1TiB", 1_099_511_627_776),
        ("7b", 7),
    ],
)
def test_a_size_has_an_optional_unit(text: str, size_bytes: int) -> None:
    assert parse_size("HOSTUI_BUDGET", text) == size_bytes


@pytest.mark.parametrize("text", ["-1", "GiB", "1.5.2GB", "12 gigs", "1e9", "0x10", "12GBx", "٣"])
def test_a_size_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadSetting, match="HOSTUI_BUDGET=") as raised:
        parse_size("HOSTUI_BUDGET", text)
    assert raised.value.value == text


def test_an_empty_value_counts_as_unset() -> None:
    env = EnvironmentVariables({"A": "", "B": "  "})
    assert env.text("A", "x") == "x"
    assert env.optional("B") is None
    assert env.integer("A", 7, 1, 9) == 7
    assert env.seconds("B", 1.5) == 1.5
    assert env.flag("A", True) is True
    assert env.size_bytes("A") is None
    assert env.words("B") == []


@pytest.mark.parametrize("text", ["0", "10", "1.0", "one", "1 2", "+3"])
def test_a_whole_number_out_of_its_range_is_refused(text: str) -> None:
    with pytest.raises(BadSetting, match="from 1 to 9"):
        EnvironmentVariables({"N": text}).integer("N", 5, 1, 9)


@pytest.mark.parametrize("text", ["-1", "1s", "inf", "nan", ""])
def test_seconds_are_a_plain_number(text: str) -> None:
    env = EnvironmentVariables({"S": text})
    if not text:
        assert env.seconds("S", 3) == 3
    else:
        with pytest.raises(BadSetting):
            env.seconds("S", 3)


def test_a_flag_is_yes_or_no() -> None:
    assert EnvironmentVariables({"F": "Yes"}).flag("F", False) is True
    assert EnvironmentVariables({"F": "0"}).flag("F", True) is False
    with pytest.raises(BadSetting, match="yes or no"):
        EnvironmentVariables({"F": "maybe"}).flag("F", True)


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HOSTUI_")}
    return subprocess.run(
        [sys.executable, str(BASE_DIR / "manage.py"), *arguments],
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HOSTUI_PORT", "http", "a whole number from 1 to 65535"),
        ("HOSTUI_BUDGET", "much", "a size such as 11.5GiB"),
        ("HOSTUI_ALLOWED_HOSTS", "box.example,*", "names; a wildcard would let any web site reach this box"),
        ("DATABASE_URL", "nonsense", ""),
        ("HF_ENDPOINT", "https://me:secret@hub.example", "an address without a password"),
        ("HOSTUI_DATA_DIR", "/proc/hostui", "a folder to write in"),
    ],
)
def test_a_bad_setting_ends_manage_py_with_one_line(name: str, value: str, says: str, tmp_path: Path) -> None:
    done = manage("check", **{"HOSTUI_DATA_DIR": str(tmp_path), name: value})
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"hostui: {name}=")
    assert says in line


@pytest.mark.parametrize(("told", "reserve_bytes"), [("", 1 << 30), ("2MiB", 2 << 20), ("0", 0)])
def test_the_disk_keeps_what_was_told_even_if_that_is_nothing(told: str, reserve_bytes: int, tmp_path: Path) -> None:
    ask = "from django.conf import settings; print(settings.DISK_RESERVE_BYTES)"
    done = manage("shell", "-v", "0", "-c", ask, HOSTUI_DATA_DIR=str(tmp_path), HOSTUI_DISK_RESERVE=told)
    assert done.stdout == f"{reserve_bytes}\n", done.stderr


def test_a_database_url_is_never_repeated(tmp_path: Path) -> None:
    done = manage("check", HOSTUI_DATA_DIR=str(tmp_path), DATABASE_URL="postgres://me:s3cret@host:wrongport/x")
    assert done.returncode == 1
    assert "s3cret" not in done.stderr + done.stdout


def test_deploy_checks_are_clean_on_the_lan_and_behind_https(tmp_path: Path) -> None:
    for variables in ({}, {"HOSTUI_HTTPS": "yes"}):
        done = manage(
            "check", "--deploy", "--fail-level", "WARNING", HOSTUI_DATA_DIR=str(tmp_path / "data"), **variables
        )
        assert done.returncode == 0, done.stderr


def test_the_data_folder_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert manage("check", HOSTUI_DATA_DIR=str(folder)).returncode == 0
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "secret_key").stat().st_mode) == 0o600


def test_processes_that_start_together_agree_on_one_secret_key(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(secret_key.load_or_create, [path] * 64))
    (key,) = keys
    assert len(key) >= 50
    assert list(tmp_path.iterdir()) == [path]
    assert secret_key.load_or_create(path) == key
