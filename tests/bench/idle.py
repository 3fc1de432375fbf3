"""What an idle box costs: memory of web, host and jobs together and their CPU, no variant resident; `serve` itself stands beside them.

Memory is the sum of proportional set sizes (PSS): a page that several of them share counts once in total. The sum of resident sizes, which
counts such a page in each, stands beside it. CPU is in per cent of one core.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from statistics import median

import psutil

from tests.bench.box import Box
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target

WINDOW_SECONDS = 60.0
SETTLE_SECONDS = 10.0
MOST_MB = 250.0
MOST_CPU_PERCENT = 1.0
MEASURED = ("web", "host", "jobs")


@dataclass(frozen=True, slots=True)
class Usage:
    """One process with all its children."""

    pss_mb: float
    rss_mb: float
    cpu_seconds: float


def usage(pid: int) -> Usage:
    root = psutil.Process(pid)
    tree = [root, *root.children(recursive=True)]
    memory = [process.memory_full_info() for process in tree]
    return Usage(
        pss_mb=sum(each.pss for each in memory) / 1e6,
        rss_mb=sum(each.rss for each in memory) / 1e6,
        cpu_seconds=sum(sum(process.cpu_times()[:2]) for process in tree),
    )


def serve_alone(pid: int) -> Usage:
    """`serve` without the processes that it started."""
    process = psutil.Process(pid)
    memory = process.memory_full_info()
    return Usage(memory.pss / 1e6, memory.rss / 1e6, sum(process.cpu_times()[:2]))


def measure(rounds: int) -> Report:
    """Blocks for a minute a round: each round is one window of idling."""
    pss: dict[str, list[float]] = defaultdict(list)
    rss: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)

    def now(pids: dict[str, int]) -> dict[str, Usage]:
        return {"serve": serve_alone(pids["serve"]), **{name: usage(pids[name]) for name in MEASURED}}

    with Box() as box:
        time.sleep(SETTLE_SECONDS)
        pids = box.pids
        for _ in range(rounds):
            before, since = now(pids), time.monotonic()
            time.sleep(WINDOW_SECONDS)
            after, seconds = now(pids), time.monotonic() - since
            for name, used in after.items():
                pss[name].append(used.pss_mb)
                rss[name].append(used.rss_mb)
                cpu[name].append(100 * (used.cpu_seconds - before[name].cpu_seconds) / seconds)

    def together(figures: dict[str, list[float]]) -> tuple[float, ...]:
        return tuple(map(sum, zip(*(figures[name] for name in MEASURED), strict=True)))

    three = "web + host + jobs"
    return Report(
        benchmark="idle",
        title="Idle: web, host and jobs with no variant resident",
        rounds=rounds,
        conditions={"window_seconds": WINDOW_SECONDS, "cpu_percent_of": "one core"},
        rows=[
            Row(
                "memory, shared pages once (PSS)",
                "MB",
                Side(three, together(pss)),
                None,
                "value",
                Target("at most", MOST_MB),
            ),
            Row("memory, resident (RSS)", "MB", Side(three, together(rss)), None, "value"),
            Row("CPU", "%", Side(three, together(cpu)), None, "value", Target("at most", MOST_CPU_PERCENT)),
            Row("memory of serve itself (PSS)", "MB", Side("serve", tuple(pss["serve"])), None, "value"),
            Row("CPU of serve itself", "%", Side("serve", tuple(cpu["serve"])), None, "value"),
        ],
        details={
            "pss_mb": {name: round(median(values), 1) for name, values in pss.items()},
            "rss_mb": {name: round(median(values), 1) for name, values in rss.items()},
            "cpu_percent": {name: round(median(values), 3) for name, values in cpu.items()},
        },
    )
