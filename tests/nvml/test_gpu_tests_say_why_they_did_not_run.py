"""`make test-gpu` on machines where there is nothing to test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.engine.tools.children import ListedGpu
from models_app.hardware import Device
from tests.gpu.__main__ import why_not
from tests.nvml.machine import BASE_DIR, RTX_3060, compile_stub

CARD = Device("RTX 3060", "gpu", 12 << 30)
LISTED = ListedGpu("CUDA0", "RTX 3060", 12 << 30, 11 << 30, False, "0000:01:00.0")
REMOTE = ListedGpu("RPC0[elsewhere:1]", "elsewhere:1", 1 << 30, None, True, None)


def test_a_card_that_llama_cpp_can_use_is_tested() -> None:
    assert why_not([CARD], [LISTED]) is None


@pytest.mark.parametrize(("cards", "listed", "says"), [([], [LISTED], "no NVIDIA driver"), ([CARD], [REMOTE], "CUDA")])
def test_without_one_the_reason_is_told(cards: list[Device], listed: list[ListedGpu], says: str) -> None:
    reason = why_not(cards, listed)
    assert reason is not None
    assert says in reason


@pytest.mark.live
def test_the_command_says_in_one_line_that_it_did_not_run_and_ends_well(tmp_path: Path) -> None:
    """With our driver in place of the real one, and a llama.cpp that has no way to use its card."""
    script = tmp_path / "nvml.txt"
    script.write_text("count 1\n" + "".join(f"gpu0.{key} {value}\n" for key, value in RTX_3060.items()))
    libraries = {"LD_LIBRARY_PATH": str(compile_stub(tmp_path)), "NVML_STUB": str(script), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu"],
        cwd=BASE_DIR,
        env={**os.environ, **libraries},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("tests/gpu did not run: the llama.cpp that is installed cannot use NVIDIA GeForce RTX 3060")
