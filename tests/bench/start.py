"""How long a worker takes from its spawning to `ready`, against the bare load of the same file.

The bare load is a C program that does what any program must: load the model, make the same context, decode one token. Both read the file from the
page cache and are timed from outside, from the spawn to the line that each prints. What llama-server takes to its first healthy answer stands
beside it for comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from inference.core.loads.options import LoadOptions
from tests.bench import llama_build, machine
from tests.bench.bare_load import bare_load
from tests.bench.engine_worker import EngineWorker, starter_model
from tests.bench.llama_server import LlamaServer
from tests.bench.quiet import Quiet
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target

MOST_EXTRA_MS = 400.0
WORKER, BARE, SERVER = "worker", "bare load", "llama-server"


@dataclass(frozen=True, slots=True)
class Start:
    milliseconds: Mapping[str, float]
    """From the spawn, by side."""
    phases_ms: Mapping[str, float]
    """What it is made of, as the programs themselves say."""


def _start_all(programs: llama_build.LlamaPrograms, model: Path, load: LoadOptions, order: Sequence[str]) -> Start:
    milliseconds: dict[str, float] = {}
    phases_ms: dict[str, float] = {}
    for side in order:
        if side == WORKER:
            with EngineWorker(model, load) as worker:
                milliseconds[side] = 1e3 * worker.start_seconds
                phases_ms["worker_load"] = 1e3 * worker.ready["load_seconds"]
        elif side == BARE:
            bare = bare_load(programs.bare_load, model, load, machine.physical_cores())
            milliseconds[side] = 1e3 * bare.seconds
            phases_ms |= {f"bare_{name.removesuffix('_ms')}": value for name, value in bare.phases_ms.items()}
        else:
            with LlamaServer(programs.server, model, load, machine.physical_cores()) as server:
                milliseconds[side] = 1e3 * server.start_seconds
    return Start(milliseconds, phases_ms)


def measure(rounds: int, quiet: Quiet) -> Report:
    """Blocks for about two seconds a round, longer where llama-server must be built first."""
    programs = llama_build.build()
    load = LoadOptions(n_threads=machine.physical_cores())
    model = starter_model()
    sides = (WORKER, BARE, SERVER)
    model.read_bytes()  # into the page cache
    _start_all(programs, model, load, sides)  # and the programs themselves
    starts = [
        quiet.measure(partial(_start_all, programs, model, load, sides if round_number % 2 else sides[::-1]))
        for round_number in range(rounds)
    ]

    def side(name: str) -> Side:
        return Side(name, tuple(start.milliseconds[name] for start in starts))

    return Report(
        benchmark="start",
        title="Worker start: from the spawn to ready, first token decoded",
        rounds=rounds,
        conditions={"model": model.name, "load_options": load.to_json(), "page_cache": "warm"},
        rows=[
            Row(
                name="worker start, more than llama.cpp's bare load",
                unit="ms",
                ours=side(WORKER),
                theirs=side(BARE),
                comparison="difference",
                target=Target("at most", MOST_EXTRA_MS),
            ),
            Row(
                name="worker start, beside llama-server's",
                unit="ms",
                ours=side(WORKER),
                theirs=side(SERVER),
                comparison="difference",
            ),
        ],
        details={
            "phases_milliseconds": {
                name: round(median(start.phases_ms[name] for start in starts), 1) for name in starts[0].phases_ms
            }
        },
    )
