"""What an idle box costs: memory of web, host and jobs together and their CPU, no variant resident; `serve` itself stands beside them.

Memory is the sum of proportional set sizes (PSS): a page that several of them share counts once in total. The sum of resident sizes, which
counts such a page in each, stands beside it. CPU is in per cent of one core.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median

import psutil

from tests.bench import box
from tests.bench.quiet import Quiet
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


@dataclass(frozen=True, slots=True)
class Idle:
    """One process over one window."""

    pss_mb: float
    rss_mb: float
    cpu_percent: float


def _window(pids: Mapping[str, int]) -> dict[str, Idle]:
    def now() -> dict[str, Usage]:
        return {"serve": serve_alone(pids["serve"]), **{name: usage(pids[name]) for name in MEASURED}}

    before, since = now(), time.monotonic()
    time.sleep(WINDOW_SECONDS)
    after, seconds = now(), time.monotonic() - since
    return {
        name: Idle(used.pss_mb, used.rss_mb, 100 * (used.cpu_seconds - before[name].cpu_seconds) / seconds)
        for name, used in after.items()
    }


def measure(rounds: int, quiet: Quiet) -> Report:
    """Blocks for a minute a round: each round is one window of idling."""
    with box.running_box() as stack:
        time.sleep(SETTLE_SECONDS)
        windows = [quiet.measure(partial(_window, box.pids(stack))) for _ in range(rounds)]

    def together(figure: Callable[[Idle], float]) -> tuple[float, ...]:
        return tuple(sum(figure(window[name]) for name in MEASURED) for window in windows)

    def each(figure: Callable[[Idle], float]) -> dict[str, float]:
        return {name: round(median(figure(window[name]) for window in windows), 3) for name in windows[0]}

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
                Side(three, together(lambda idle: idle.pss_mb)),
                None,
                "value",
                Target("at most", MOST_MB),
            ),
            Row("memory, resident (RSS)", "MB", Side(three, together(lambda idle: idle.rss_mb)), None, "value"),
            Row(
                "CPU",
                "%",
                Side(three, together(lambda idle: idle.cpu_percent)),
                None,
                "value",
                Target("at most", MOST_CPU_PERCENT),
            ),
            Row(
                "memory of serve itself (PSS)",
                "MB",
                Side("serve", tuple(window["serve"].pss_mb for window in windows)),
                None,
                "value",
            ),
            Row(
                "CPU of serve itself",
                "%",
                Side("serve", tuple(window["serve"].cpu_percent for window in windows)),
                None,
                "value",
            ),
        ],
        details={
            "pss_mb": each(lambda idle: idle.pss_mb),
            "rss_mb": each(lambda idle: idle.rss_mb),
            "cpu_percent": each(lambda idle: idle.cpu_percent),
        },
    )
