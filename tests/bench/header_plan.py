"""A plan of a file that is still on the Hub: from the question to tokens/s and cautions, the header read by ranges.

The Hub is a process of its own, each of whose answers comes 100 ms late: the redirect to the file, and the file. The headers are
those of released models, with the vocabularies that llama.cpp ships for its tests; nothing is remembered between rounds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.conf import settings

from inference.core.planning.header_estimates import HeaderEstimates
from inference.web.hub.remote_plan import plan_remote
from inference.web.plans.what_if import WhatIfChanges
from models_app.hardware import Device, Profile
from models_app.hardware.cards import card
from models_app.hardware.profile import GIB
from models_app.hub.headers import RangeBody, Traffic
from models_app.hub.names import contents
from models_app.hub.session import Hub
from models_app.hub.siblings import SiblingHeaders
from tests.bench.machine import ROOT
from tests.bench.quiet import Quiet
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target
from tests.gguf_builder import SHAPES, build

FULL_ROUNDS = 7
LATENCY_SECONDS = 0.1
MOST_SECONDS = 1.5
MOST_REQUESTS = 2
REPOSITORY = "bench/Headers-GGUF"
CASES = {
    "8B, vocabulary of Llama 3": ("llama-8b", "llama-bpe"),
    "80 layers, vocabulary of Llama 3": ("llama-70b", "llama-bpe"),
    "128 experts, vocabulary of Qwen": ("qwen3-30b-a3b", "qwen2"),
    "8B, vocabulary of Gemma 4": ("llama-8b", "gemma-4"),
}
FURTHER = "8B, vocabulary of Llama 3, a further variant of its repository"
"""Another quantization of the first case, whose header was read before."""


@dataclass(frozen=True, slots=True)
class Planned:
    seconds: float
    n_requests: int
    n_bytes: int


@contextmanager
def _hub(folder: Path) -> Iterator[str]:
    """A Hub over FOLDER/owner/name; its endpoint."""
    command = [sys.executable, "-m", "tests.hub", str(folder), f"--latency-seconds={LATENCY_SECONDS}", "--no-digests"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def _build(folder: Path) -> dict[str, str]:
    """The file of each case, and of FURTHER."""
    (models,) = (ROOT / ".venv" / "llama-sdist").glob("llama_cpp_python-*/vendor/llama.cpp/models")
    files = {}
    for number, (case, (shape, vocabulary)) in enumerate(CASES.items()):
        path = folder / REPOSITORY / f"case-{number}-Q4_K_M.gguf"
        path.parent.mkdir(parents=True, exist_ok=True)
        build(path, SHAPES[shape], quantization="Q4_K_M", vocabulary=models / f"ggml-vocab-{vocabulary}.gguf")
        files[case] = path.name
    shape, vocabulary = next(iter(CASES.values()))
    path = folder / REPOSITORY / "further-Q8_0.gguf"
    build(path, SHAPES[shape], quantization="Q8_0", vocabulary=models / f"ggml-vocab-{vocabulary}.gguf")
    return {**files, FURTHER: path.name}


def _profile() -> Profile:
    gpu = card("RTX 3060")
    assert gpu is not None
    return Profile("12 GB", Device("RAM", "ram", 64 * GIB, 60 * 10**9), gpus=(gpu,))


def measure(rounds: int, quiet: Quiet) -> Report:
    with tempfile.TemporaryDirectory(prefix="hostui-bench-") as folder:
        files = _build(Path(folder))
        with _hub(Path(folder)) as endpoint:
            settings.configure(HUB_ENDPOINT=endpoint)
            client, profile = Hub(endpoint), _profile()
            repository = client.repository(REPOSITORY)
            variants = {each.key: each for each in contents(repository.files).variants}

            def open_range(path: str, start: int, end: int) -> AbstractContextManager[RangeBody]:
                return client.open(REPOSITORY, repository.revision, path, start, end, chunk_bytes=64 << 10)

            def plan(case: str) -> Planned:
                siblings = SiblingHeaders(open_range)
                if case == FURTHER:
                    siblings.read_variant(variants[files[next(iter(CASES))]].files)
                reading = Traffic()
                started = time.perf_counter()
                told = HeaderEstimates(siblings.read_variant(variants[files[case]].files, reading))
                planned = plan_remote(told, profile, WhatIfChanges(), None)
                seconds = time.perf_counter() - started
                assert planned.decode_tokens_per_second, case
                return Planned(seconds, reading.n_requests, reading.n_bytes)

            samples = {case: tuple(quiet.measure(partial(plan, case)) for _ in range(rounds)) for case in files}
    return Report(
        benchmark="header-plan",
        title="Planning a file on the Hub, 100 ms away, before any download",
        rounds=rounds,
        conditions={"latency_seconds_per_answer": LATENCY_SECONDS, "answers_per_request": "a redirect, then the bytes"},
        rows=_rows(samples),
        details={
            "fetched_mb": {case: round(each[0].n_bytes / 1e6, 1) for case, each in samples.items()},
        },
    )


def _rows(samples: Mapping[str, tuple[Planned, ...]]) -> list[Row]:
    rows = []
    for case, planned in samples.items():
        seconds = Side("plan", tuple(each.seconds for each in planned))
        requests = Side("plan", tuple(float(each.n_requests) for each in planned))
        rows += [
            Row(f"{case}: time", "s", seconds, None, "value", Target("at most", MOST_SECONDS)),
            Row(f"{case}: range requests", "", requests, None, "value", Target("at most", float(MOST_REQUESTS))),
        ]
    return rows
