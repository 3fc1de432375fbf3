"""`python -m tests.bench [NAME ...]` measures, prints Markdown tables and stores them; `python -m tests.bench table` prints the stored ones,
`python -m tests.bench pages` puts them into README.md and docs/performance.md.

A run of fewer rounds (`--quick`, or `--rounds` below a benchmark's own number) shows that the benchmark works. It prints its table
and stores nothing.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from dataclasses import replace

from tests.bench import (
    alternate,
    download,
    header_plan,
    idle,
    kills,
    machine,
    memory,
    memory_live,
    models_page,
    quantize,
    report,
    scheduling,
    start,
    swap,
    throughput,
    watchers,
    web,
)
from tests.bench.quiet import Quiet

QUICK_ROUNDS = 2
PATIENCE_SECONDS = 600.0
BENCHMARKS: dict[str, tuple[Callable[[int, Quiet], report.Report], int]] = {
    "throughput": (throughput.measure, 7),
    "web": (web.measure, 7),
    "start": (start.measure, 15),
    "idle": (idle.measure, 3),
    "watchers": (watchers.measure, 3),
    "memory": (memory.measure, memory.FULL_ROUNDS),
    "memory-live": (memory_live.measure, memory_live.FULL_ROUNDS),
    "scheduling": (scheduling.measure, scheduling.FULL_ROUNDS),
    "swap": (swap.measure, swap.FULL_ROUNDS),
    "alternate": (alternate.measure, alternate.FULL_ROUNDS),
    "models-page": (models_page.measure, models_page.FULL_ROUNDS),
    "quantize": (quantize.measure, quantize.FULL_ROUNDS),
    "download": (download.measure, download.FULL_ROUNDS),
    "header-plan": (header_plan.measure, header_plan.FULL_ROUNDS),
    "kills": (kills.measure, kills.FULL_ROUNDS),
}
"""What measures, and in how many rounds."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=", ".join((*BENCHMARKS, "table", "pages")) + "; default: all"
    )
    parser.add_argument("--rounds", type=int, help="instead of each benchmark's own number")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_SECONDS,
        metavar="SECONDS",
        help="how long each benchmark may wait for others to leave the CPU alone, and repeat disturbed samples",
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds, no patience, nothing stored")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS) - {"table", "pages"}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    return arguments


def main() -> int:
    """The exit status says whether the benchmarks ran, not whether the targets were met."""
    # What a benchmark started ends with its blocks, and a default SIGTERM would skip them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = _arguments()
    if "table" in arguments.names:
        print(report.tables(report.read_all()))
        return 0
    if "pages" in arguments.names:
        report.write_pages(report.read_all(), machine.ROOT)
        return 0
    for name in arguments.names or list(BENCHMARKS):
        measure, own_rounds = BENCHMARKS[name]
        rounds = QUICK_ROUNDS if arguments.quick else arguments.rounds or own_rounds
        print(f"{name}: {rounds} rounds …", file=sys.stderr, flush=True)
        commit, dirty = machine.commit()
        quiet = Quiet(0.0 if arguments.quick else arguments.patience)
        unsigned = measure(rounds, quiet)
        measured = replace(
            unsigned,
            machine=machine.facts(),
            details={**unsigned.details, "quiet": quiet.summary()},
            commit=commit,
            dirty=dirty,
            measured_at=report.now(),
        )
        print(measured.markdown(), flush=True)
        for figure, value in measured.details.items():
            print(f"  {figure}: {value}", file=sys.stderr)
        if rounds >= own_rounds:
            path = report.write(measured)
            print(f"stored in {path.relative_to(machine.ROOT)}", file=sys.stderr)
        else:
            print(f"fewer than {own_rounds} rounds: not stored", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
