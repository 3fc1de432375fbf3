"""A download through the whole box, against curl and sha256sum: bytes per second, and the memory of the jobs process.

The Hub is a process of its own on this machine. Ours is the time that the job's row tells, from its claim until the variant is in the
inventory: fetched, hashed on the way, synced, renamed, header read. Theirs is `curl -L` into a file and then `sha256sum` of it, on the
same disk in the same round; neither syncs. Memory is the jobs process's highest resident size of a download less its size before the
first one.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path

import httpx
import psutil

from tests.bench.machine import ROOT
from tests.bench.quiet import Quiet
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target
from tests.gguf_builder import SHAPES, build
from tests.stack import Stack, csrf_token, running_stack, wait_for

FULL_ROUNDS = 5
MB = 10**6
SMALL_BYTES = 200 * MB
LARGE_BYTES = 2000 * MB
LEAST_OF_CURL = 0.9
MOST_MEMORY_MB = 80.0
DONE_WITHIN_SECONDS = 300.0


@contextmanager
def _hub(folder: Path) -> Iterator[str]:
    """A Hub over FOLDER/owner/name; its endpoint."""
    command = [sys.executable, "-m", "tests.hub", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


@dataclass(frozen=True, slots=True)
class Offered:
    repository: str
    path: Path
    size_bytes: int


def _offer(folder: Path, size_bytes: int, number: int) -> Offered:
    """A model like no other: what is in the inventory already would not be fetched again."""
    repository = f"bench/Model-{number}-GGUF"
    path = folder / repository / f"model-{number}-Q4_0.gguf"
    path.parent.mkdir(parents=True)
    build(path, SHAPES["tiny-gqa"], body="random", seed=number)
    block = os.urandom(8 * MB)
    with path.open("ab") as file:
        while (left := size_bytes - file.tell()) > 0:
            file.write(block[:left])
    return Offered(repository, path, size_bytes)


class Box:
    """A running box with whoever runs it signed in."""

    def __init__(self, stack: Stack, client: httpx.Client) -> None:
        self._stack = stack
        self._client = client
        self._jobs = psutil.Process(stack.pid("jobs"))
        self._idle_bytes = self._jobs.memory_info().rss

    def download(self, offered: Offered) -> float:
        """Seconds."""
        page = self._client.get(f"/models/hub/{offered.repository}/").text
        revision = page.split('name="revision" value="')[1].split('"')[0]
        form = {"csrfmiddlewaretoken": csrf_token(page), "revision": revision, "key": offered.path.name}
        address = f"/models/hub/{offered.repository}/download/"
        answer = self._client.post(address, data=form, headers={"Origin": self._stack.url})
        assert answer.status_code == 302, answer.text
        seconds = wait_for(self._last_took, f"{offered.repository} to come", DONE_WITHIN_SECONDS)
        (here,) = (self._stack.data_dir / "models").glob("*.gguf")
        here.unlink()
        return seconds

    def memory_above_idle_mb(self) -> float:
        lines = Path(f"/proc/{self._jobs.pid}/status").read_text().splitlines()
        (peak,) = (line for line in lines if line.startswith("VmHWM:"))
        return (int(peak.split()[1]) * 1024 - self._idle_bytes) / MB

    def _last_took(self) -> float | None:
        database = f"file:{self._stack.data_dir / 'hostui.sqlite3'}?mode=ro"
        query = "SELECT state, reason, started_at, ended_at FROM models_app_job ORDER BY id DESC LIMIT 1"
        with closing(sqlite3.connect(database, uri=True)) as connection:
            state, reason, started, ended = connection.execute(query).fetchone()
        assert state in ("queued", "running", "done"), reason
        if state != "done":
            return None
        return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()


def _curl(endpoint: str, offered: Offered, folder: Path) -> float:
    """Seconds to fetch and to hash."""
    target = folder / "curl.gguf"
    began = time.perf_counter()
    url = f"{endpoint}/{offered.repository}/resolve/main/{offered.path.name}"
    subprocess.run(["curl", "--silent", "--fail", "--location", "--output", str(target), url], check=True)
    done = subprocess.run(["sha256sum", str(target)], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    assert len(done.stdout.split()[0]) == 64
    target.unlink()
    return seconds


def measure(rounds: int, quiet: Quiet) -> Report:
    assert shutil.which("curl"), "needs curl"
    numbers = count()
    with tempfile.TemporaryDirectory(prefix="hostui-bench-") as name:
        folder = Path(name)
        small = [_offer(folder / "hub", SMALL_BYTES, next(numbers)) for _ in range(rounds)]
        large = [_offer(folder / "hub", LARGE_BYTES, next(numbers)) for _ in range(rounds)]
        memory: dict[int, float] = {}
        pairs: dict[int, list[tuple[float, float]]] = {SMALL_BYTES: [], LARGE_BYTES: []}
        with (
            _hub(folder / "hub") as endpoint,
            running_stack(HF_ENDPOINT=endpoint) as stack,
            closing(stack.login(stack.admin)) as client,
        ):
            box = Box(stack, client)
            for offered in (*small, *large):
                theirs = quiet.measure(partial(_curl, endpoint, offered, folder))
                pairs[offered.size_bytes].append((box.download(offered), theirs))
                memory[offered.size_bytes] = box.memory_above_idle_mb()
    return Report(
        benchmark="download",
        title="Downloading from a Hub on this machine",
        rounds=rounds,
        conditions={"small_bytes": SMALL_BYTES, "large_bytes": LARGE_BYTES, "files": 1},
        rows=[
            *(_speed(size, samples) for size, samples in pairs.items()),
            *(
                Row(
                    f"{size // MB} MB: memory above idle, jobs process",
                    "MB",
                    Side("hostui", (above,)),
                    None,
                    "value",
                    Target("at most", MOST_MEMORY_MB),
                )
                for size, above in memory.items()
            ),
        ],
    )


def _speed(size_bytes: int, pairs: list[tuple[float, float]]) -> Row:
    ours = tuple(size_bytes / seconds / MB for seconds, _ in pairs)
    theirs = tuple(size_bytes / seconds / MB for _, seconds in pairs)
    name = f"{size_bytes // MB} MB"
    target = Target("at least", LEAST_OF_CURL)
    return Row(name, "MB/s", Side("hostui", ours), Side("curl, then sha256sum", theirs), "ratio", target)
