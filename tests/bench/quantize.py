"""Requantizing, from the start of the child to the end of its file, against llama.cpp's own llama-quantize.

The same file, types and threads, one after the other in each round, with the roles changing. Both are timed from outside. Ours checks
the header before and reports every tensor; what follows in a job (a decoded token, a digest, an fsync) is timed by itself.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from inference.core.planning.recipe import Recipe
from inference.engine.tools.quantize import check, quantize
from tests.bench import llama_build, machine
from tests.bench.quiet import Quiet
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target
from tests.gguf_builder import build
from tests.gguf_shapes import Transformer

FULL_ROUNDS = 5
MOST_RATIO = 1.05
NICENESS = 10
"""inference.engine.tools.quantize_process's own."""
TYPES = {"Q8_0": 3, "Q4_K_M": 1}
"""How often each is made in a round; the fastest counts. What takes two seconds depends much on what the disk does meanwhile."""
OURS, THEIRS = "child", "llama-quantize"
SHAPE = Transformer("bench", "llama", 6, 2048, 5632, 32000, n_heads=32, n_kv_heads=8)
"""0.4 billion parameters: large enough that the start of a process hardly counts."""


@dataclass(frozen=True, slots=True)
class Round:
    seconds: Mapping[tuple[str, str], float]
    """By side and type."""
    check_seconds: float


def _ours(source: Path, target: Path, name: str, n_threads: int) -> float:
    began = time.perf_counter()
    for _ in quantize(source, target, Recipe(name), os.environ, n_threads=n_threads):
        pass
    return time.perf_counter() - began


def _theirs(program: Path, source: Path, target: Path, name: str, n_threads: int) -> float:
    began = time.perf_counter()
    # As nice as ours: beside anything else the two would otherwise measure the scheduler.
    command = ["nice", "-n", str(NICENESS), program, "--allow-requantize", source, target, name, str(n_threads)]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def _round(program: Path, source: Path, folder: Path, ours_first: bool) -> Round:
    n_threads = machine.physical_cores()
    seconds: dict[tuple[str, str], float] = {}
    order = (OURS, THEIRS) if ours_first else (THEIRS, OURS)
    for name, side in ((name, side) for name, often in TYPES.items() for _ in range(often) for side in order):
        target = folder / f"{side}.gguf"
        target.unlink(missing_ok=True)
        if side == OURS:
            took = _ours(source, target, name, n_threads)
        else:
            took = _theirs(program, source, target, name, n_threads)
        seconds[side, name] = min(took, seconds.get((side, name), took))
    if (folder / f"{OURS}.gguf").stat().st_size != (folder / f"{THEIRS}.gguf").stat().st_size:
        raise AssertionError("the two made different files")
    began = time.perf_counter()
    for _ in check(folder / f"{OURS}.gguf", os.environ):
        pass
    check_seconds = time.perf_counter() - began
    return Round(seconds, check_seconds)


def measure(rounds: int, quiet: Quiet) -> Report:
    """Blocks for about a minute a round on two cores, longer where llama-quantize must be built first."""
    program = llama_build.build_quantize()
    with tempfile.TemporaryDirectory(prefix="hostui-bench-") as temporary:
        folder = Path(temporary)
        source = build(folder / "source-F16.gguf", SHAPE, quantization="F16", body="random")
        _round(program, source, folder, True)  # into the page cache
        found = [quiet.measure(partial(_round, program, source, folder, bool(number % 2))) for number in range(rounds)]
        source_bytes = source.stat().st_size
    return Report(
        benchmark="quantize",
        title="Requantizing an F16 of 0.4 billion parameters",
        rounds=rounds,
        conditions={
            "source_bytes": source_bytes,
            "n_threads": machine.physical_cores(),
            "page_cache": "warm",
        },
        rows=[
            Row(
                name=f"F16 to {name}",
                unit="s",
                ours=Side(OURS, tuple(each.seconds[OURS, name] for each in found)),
                theirs=Side(THEIRS, tuple(each.seconds[THEIRS, name] for each in found)),
                comparison="ratio",
                target=Target("at most", MOST_RATIO),
            )
            for name in TYPES
        ],
        details={"check_seconds": round(median(each.check_seconds for each in found), 2)},
    )
