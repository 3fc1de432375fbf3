"""What the driver's library tells of its cards: a stub of it, in a child process, as a library is loaded but once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.engine.llama.cuda_driver import Card, card

ROOT = Path(__file__).resolve().parents[2]
STUB = Path(__file__).with_name("cuda_stub.c")
ASK = "from inference.engine.llama.cuda_driver import card; print(card(0)); print(card(1))"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    target = tmp_path / "libcuda.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(target), str(STUB)], check=True)
    return tmp_path


def cards(libraries: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK],
        cwd=ROOT,
        env={**os.environ, "LD_LIBRARY_PATH": str(libraries)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_a_card_is_described_without_a_context(library: Path) -> None:
    assert cards(library) == [repr(Card(12 << 30, "0000:0a:00.0")), "None"]


def test_a_library_that_lacks_what_is_asked_describes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "old.c"
    source.write_text("int cuInit(unsigned flags) { return (int) flags; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(tmp_path / "libcuda.so.1"), str(source)], check=True)
    assert cards(tmp_path) == ["None", "None"]


def test_a_card_that_is_not_there_has_no_description() -> None:
    assert card(4711) is None
