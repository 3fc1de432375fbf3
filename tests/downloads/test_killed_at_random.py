"""`kill -9` at hundreds of random moments: no corrupt file is ever listed, nothing is left over, no job is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.hub import HubServer, Slow
from tests.kills.lives import environment
from tests.kills.promised import remote_model

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = int(os.environ.get("KILL_ROUNDS", "200"))
N_REPOSITORIES = 60
PADDING_BYTES = 4 << 20
LONGEST_LIFE_SECONDS = 0.25
BYTES_PER_SECOND = 16 << 20
"""Of each connection: so slow that a download takes several lives."""


def offer(hub: HubServer, folder: Path, number: int) -> tuple[str, list[Path]]:
    """A repository with a model of one to three files, like no other."""
    name, files = f"owner/model-{number}", remote_model(folder, number, PADDING_BYTES)
    hub.add(name, {path.name: path for path in files})
    return name, files


def test_jobs_that_are_killed_go_on_and_lose_nothing(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()
    offered = dict(offer(hub, tmp_path / "remote", number) for number in range(N_REPOSITORIES))
    asked = {
        "endpoint": hub.endpoint,
        "repositories": list(offered),
        "rounds": ROUNDS,
        "seed": 20261121,
        "longest_seconds": LONGEST_LIFE_SECONDS,
    }
    hub.faults.add(Slow(bytes_per_second=BYTES_PER_SECOND))
    done = subprocess.run(
        [sys.executable, "-m", "tests.downloads.dying"],
        input=json.dumps(asked) + "\n",
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(tmp_path / "data"),
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["rounds"] >= ROUNDS, told
    assert told["in_the_middle"] > told["rounds"] / 2, f"the kills came too early or too late to prove anything: {told}"
    assert told["with_two"] > ROUNDS / 20
    assert told["listed_too_early"] == 0
    assert told["states"] == {"done": N_REPOSITORIES}
    models = tmp_path / "data" / "models"
    for repository, paths in told["variants"]:
        sources = offered[repository]
        assert [Path(path).read_bytes() for path in paths] == [source.read_bytes() for source in sources], repository
    assert sorted(repository for repository, _ in told["variants"]) == sorted(offered)
    left = {str(path.relative_to(models)) for path in models.rglob("*") if path.is_file()}
    assert left == {Path(path).name for _, paths in told["variants"] for path in paths}, "no .part, no quarantine"
