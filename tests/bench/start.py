"""How long a worker takes from its spawning to `ready`, against the bare load of the same file.

The bare load is a C program that does what any program must: load the model, make the same context, decode one token. Both read the file from the
page cache and are timed from outside, from the spawn to the line that each prints. What llama-server takes to its first healthy answer stands
beside it for comparison.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from inference.core.options import LoadOptions
from tests.bench import llama_build, machine
from tests.bench.bare_load import bare_load
from tests.bench.engine_worker import EngineWorker, starter_model
from tests.bench.llama_server import LlamaServer
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target

MOST_EXTRA_MS = 400.0
WORKER, BARE, SERVER = "worker", "bare load", "llama-server"


def measure(rounds: int) -> Report:
    """Blocks for about two seconds a round, longer where llama-server must be built first."""
    programs = llama_build.build()
    n_threads = machine.physical_cores()
    load = LoadOptions(n_threads=n_threads)
    model = starter_model()
    model.read_bytes()  # into the page cache
    milliseconds: dict[str, list[float]] = defaultdict(list)
    phases: dict[str, list[float]] = defaultdict(list)
    for round_number in range(-1, rounds):  # round -1 fills the caches of the programs themselves
        sides = [WORKER, BARE, SERVER]
        for side in sides if round_number % 2 else sides[::-1]:
            if side == WORKER:
                with EngineWorker(model, load) as worker:
                    assert worker.start_seconds is not None
                    seconds, phase = worker.start_seconds, {"worker_load_ms": 1e3 * worker.ready["load_seconds"]}
            elif side == BARE:
                bare = bare_load(programs.bare_load, model, load, n_threads)
                seconds, phase = bare.seconds, {f"bare_{name}": value for name, value in bare.phases_ms.items()}
            else:
                with LlamaServer(programs.server, model, load, n_threads) as server:
                    assert server.start_seconds is not None
                    seconds, phase = server.start_seconds, {}
            if round_number < 0:
                continue
            milliseconds[side].append(1e3 * seconds)
            for name, value in phase.items():
                phases[name].append(value)
    return Report(
        benchmark="start",
        title="Worker start: from the spawn to ready, first token decoded",
        rounds=rounds,
        conditions={"model": model.name, "load_options": load.to_json(), "page_cache": "warm"},
        rows=[
            Row(
                name="worker start, more than llama.cpp's bare load",
                unit="ms",
                ours=Side(WORKER, tuple(milliseconds[WORKER])),
                theirs=Side(BARE, tuple(milliseconds[BARE])),
                comparison="difference",
                target=Target("at most", MOST_EXTRA_MS),
            ),
            Row(
                name="worker start, beside llama-server's",
                unit="ms",
                ours=Side(WORKER, tuple(milliseconds[WORKER])),
                theirs=Side(SERVER, tuple(milliseconds[SERVER])),
                comparison="difference",
            ),
        ],
        details={name: median(values) for name, values in phases.items()},
    )
