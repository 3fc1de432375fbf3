"""Set-up on a machine: which Python, which steps, and what happens after an interruption."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from hostui.setup.environment import PIP, VirtualEnvironment
from tests.stack import BASE_DIR

FIND_PYTHON = BASE_DIR / "hostui" / "setup" / "find_python.sh"


def pretend(folder: Path, name: str, version: tuple[int, int] | None) -> None:
    """A program `name` that answers as a Python of that version would; None: one that cannot start."""
    real = sys.executable
    path = folder / name
    if version is None:
        path.write_text("#!/bin/sh\nexit 127\n")
    else:
        # The real interpreter judges the script's own expression, with another version in its place.
        path.write_text(
            f'#!/bin/sh\nexec "{real}" -c "import sys; sys.version_info = ({version[0]}, {version[1]}, 0); exec(sys.argv[1])" "$2"\n'
        )
    path.chmod(0o755)


def find(tmp_path: Path, *, tools: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    bin_folder = tmp_path / "bin"
    for tool in tools:
        (bin_folder / tool).write_text("#!/bin/sh\n")
        (bin_folder / tool).chmod(0o755)
    shell = shutil.which("sh")
    assert shell is not None
    return subprocess.run(
        [shell, str(FIND_PYTHON)],
        cwd=tmp_path,
        env={"PATH": str(bin_folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def test_the_newest_python_that_fits_is_taken(tmp_path: Path, bin_folder: Path) -> None:
    pretend(bin_folder, "python3", (3, 11))
    pretend(bin_folder, "python3.12", (3, 12))
    pretend(bin_folder, "python3.13", None)  # a version manager's stand-in for one that isn't chosen
    assert find(tmp_path).stdout == "python3.12\n"


def test_the_environments_own_python_comes_first(tmp_path: Path, bin_folder: Path) -> None:
    pretend(bin_folder, "python3.13", (3, 13))
    own = tmp_path / ".venv" / "bin"
    own.mkdir(parents=True)
    pretend(own, "python", (3, 10))
    assert find(tmp_path).stdout == ".venv/bin/python\n"


@pytest.mark.parametrize("version", [(3, 9), (3, 14), (2, 7)])
def test_a_python_that_is_too_old_or_too_new_is_named_with_the_package_to_install(
    tmp_path: Path, bin_folder: Path, version: tuple[int, int]
) -> None:
    pretend(bin_folder, "python3", version)
    done = find(tmp_path, tools=("apt-get",))
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert f"there is Python {version[0]}.{version[1]}" in line
    assert "sudo apt-get install python3 python3-venv" in line


def test_no_python_at_all_is_said_too(tmp_path: Path, bin_folder: Path) -> None:
    done = find(tmp_path, tools=("dnf",))
    assert done.returncode == 1
    assert "there is no Python. Run: sudo dnf install python3.12" in done.stderr


def test_make_stops_at_that_line(tmp_path: Path, bin_folder: Path) -> None:
    for tool in ("sh", "make"):
        found = shutil.which(tool)
        assert found is not None
        (bin_folder / tool).symlink_to(found)
    clone = tmp_path / "clone"
    (clone / "hostui" / "setup").mkdir(parents=True)
    shutil.copy(BASE_DIR / "Makefile", clone)
    shutil.copy(FIND_PYTHON, clone / "hostui" / "setup")
    done = subprocess.run(
        [str(bin_folder / "make"), "serve"],
        cwd=clone,
        env={"PATH": str(bin_folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "needs Python 3.10 to 3.13, and there is no Python" in done.stderr.splitlines()[0]
    assert not (clone / ".venv").exists()


def test_a_machine_without_a_compiler_gets_one_line_and_nothing_is_half_done(tmp_path: Path, bin_folder: Path) -> None:
    """The whole of `python -m hostui.setup serve` up to the compiler, in a copy of the clone."""
    clone = tmp_path / "clone"
    shutil.copytree(BASE_DIR / "hostui" / "setup", clone / "hostui" / "setup")
    (clone / "hostui" / "__init__.py").touch()
    shutil.copy(BASE_DIR / "requirements.txt", clone)
    environment = VirtualEnvironment(clone)
    with environment.step("venv", PIP):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment.folder)], check=True)
    (bin_folder / "apt-get").write_text("#!/bin/sh\n")
    (bin_folder / "apt-get").chmod(0o755)
    done = subprocess.run(
        [str(environment.python), "-m", "hostui.setup", "serve"],
        cwd=clone,
        env={"PATH": str(bin_folder), "HOME": str(tmp_path), "HOSTUI_ACCEL": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "hostui: llama.cpp has to be compiled, and there is no C/C++ compiler. Run: sudo apt-get install build-essential.\n"
    )
    assert environment.recorded("llama") is None


def test_a_step_is_done_once_and_again_when_what_it_is_made_from_changes(tmp_path: Path) -> None:
    environment = VirtualEnvironment(tmp_path)
    done = []
    for key in ("one", "one", "two", "two", "one"):
        with environment.step("requirements", key) as needed:
            if needed:
                done.append(key)
    assert done == ["one", "two", "one"]


def test_an_interrupted_step_is_done_again_even_if_it_once_succeeded(tmp_path: Path) -> None:
    environment = VirtualEnvironment(tmp_path)
    with environment.step("llama", "cpu"):
        pass
    with suppress(KeyboardInterrupt), environment.step("llama", "cuda"):
        raise KeyboardInterrupt
    with environment.step("llama", "cpu") as needed:
        assert needed  # what is there may be half of the other


def test_an_environment_that_is_whole_is_kept_and_half_a_one_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(VirtualEnvironment, "pip", lambda self, *arguments: calls.append(arguments))
    environment = VirtualEnvironment(tmp_path)
    environment.create()
    kept = environment.folder / "kept"
    kept.touch()
    environment.forget("venv")
    environment.create()
    assert kept.exists()
    for pip in environment.folder.glob("lib/*/site-packages/pip"):
        shutil.rmtree(pip)
    environment.create()
    assert kept.exists(), "a finished step is not looked at again"
    environment.forget("venv")
    environment.create()
    assert not kept.exists()
    assert calls == [("install", "--upgrade", PIP)] * 3


def test_usage_is_said_for_an_unknown_profile() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hostui.setup", "deploy"],
        cwd=BASE_DIR,
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "usage:" in done.stderr
