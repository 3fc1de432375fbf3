"""`kill -9` at random moments of requantizations: no file is listed that is not whole, nothing is left over, no job is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gguf_builder import SHAPES, build
from tests.kills.lives import environment

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = int(os.environ.get("KILL_ROUNDS", "40"))
LONGEST_LIFE_SECONDS = 1.5
PATIENCE_SECONDS = 200 + 3 * ROUNDS


@pytest.mark.timeout(PATIENCE_SECONDS + 20)
def test_requantizations_that_are_killed_go_on_and_leave_nothing(tmp_path: Path) -> None:
    n_jobs = max(4, ROUNDS // 4)
    asked = {
        "source": str(build(tmp_path / "source-F16.gguf", SHAPES["tiny-moe"], quantization="F16", body="random")),
        "jobs": n_jobs,
        "rounds": ROUNDS,
        "seed": 20261121,
        "longest_seconds": LONGEST_LIFE_SECONDS,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.jobs.dying"],
        input=json.dumps(asked) + "\n",
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(tmp_path / "data"),
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["states"] == {"done": n_jobs}
    assert len(set(told["variants"])) == n_jobs
    assert told["unsound"] == []
    assert told["left"] == []
    assert told["in_the_middle"] > told["rounds"] / 4, f"the kills came too early or too late to prove anything: {told}"
