"""`kill -9` of a whole box's processes at random moments of downloads and requantizations: what was lost, left over or seen corrupt.

Not a matter of speed: what else runs on the machine only moves the moments. KILL_SEED chooses another order of victims and pauses.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench.quiet import Quiet
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target
from tests.kills.orders import AT_ONCE
from tests.kills.rounds import LONGEST_PAUSE_SECONDS, NOT_AWAITED, SEED, Told, kill_at_random

FULL_ROUNDS = 200
TITLE = "Processes killed at random"


def measure(rounds: int, quiet: Quiet) -> Report:
    """Blocks for about three seconds a round, and a minute."""
    with tempfile.TemporaryDirectory(prefix="hostui-kills-") as folder:
        told = kill_at_random(rounds, SEED, Path(folder), {kind: AT_ONCE[kind] for kind in ("download", "requantize")})
    figures = {
        "corrupt files and listings that were seen": len(told.wrong),
        "jobs that were not done, variants that were not listed": len(told.unfinished) + len(told.not_listed),
        "files left over": len(told.left) + len(told.scan),
    }
    if told.second_writers is not None:
        figures["files with two writers"] = len(told.second_writers)
    return Report(
        benchmark="kills",
        title=TITLE,
        rounds=told.rounds,
        conditions={"seed": SEED, "longest_pause_seconds": LONGEST_PAUSE_SECONDS, "not_awaited": NOT_AWAITED},
        rows=[_none(name, n) for name, n in figures.items()] + [_jobs_done(told)],
        details={name: value for name, value in told.to_json().items() if name not in ("seed", "rounds")},
    )


def _none(name: str, n: int) -> Row:
    return Row(name, "", Side("hostui", (n,)), None, "value", Target("at most", 0))


def _jobs_done(told: Told) -> Row:
    return Row("jobs done meanwhile", "", Side("hostui", (told.done.total(),)), None, "value")
