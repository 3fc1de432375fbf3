"""What 200 open dashboards cost: CPU of web and host with that many sockets on `/ws/host/`, against the same box unwatched.

One variant is resident. Each socket belongs to somebody else's session, takes a frame a second and acknowledges as the page does; a round in
which one of them missed frames counts for nothing. CPU is in per cent of one core.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from inference.host.api.client import HostClient
from tests.bench import box
from tests.bench.idle import usage
from tests.bench.quiet import Quiet
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target
from tests.bench.watching import NotWatching, Watching

N_WATCHERS = 200
WINDOW_SECONDS = 30.0
SETTLE_SECONDS = 3.0
MOST_MISSED = 3
"""Frames: those in flight when a window begins and ends, and one that a late sample moved."""
MOST_CPU_PERCENT = 5.0
MEASURED = ("web", "host")
WATCHED, UNWATCHED = f"{N_WATCHERS} watching", "nobody watching"


@dataclass(frozen=True, slots=True)
class Window:
    """Per cent of a core, by process."""

    cpu_percent: Mapping[str, float]
    web_rss_mb: float

    @property
    def together(self) -> float:
        return sum(self.cpu_percent.values())


Pair = Mapping[str, Window]


def _window(pids: Mapping[str, int]) -> Window:
    before, since = {name: usage(pids[name]) for name in MEASURED}, time.monotonic()
    time.sleep(WINDOW_SECONDS)
    after, seconds = {name: usage(pids[name]) for name in MEASURED}, time.monotonic() - since
    return Window(
        {name: 100 * (after[name].cpu_seconds - before[name].cpu_seconds) / seconds for name in MEASURED},
        after["web"].rss_mb,
    )


def _watched(pids: Mapping[str, int], address: str, cookies: Sequence[str]) -> Window:
    """Raises NotWatching."""
    with Watching(address, cookies) as watching:
        time.sleep(SETTLE_SECONDS)
        window = _window(pids)
    if min(watching.frames) < WINDOW_SECONDS + SETTLE_SECONDS - MOST_MISSED:
        raise NotWatching(f"a page took in {min(watching.frames)} frames in {WINDOW_SECONDS + SETTLE_SECONDS:g} s")
    return window


def _pair(pids: Mapping[str, int], address: str, cookies: Sequence[str], watched_first: bool) -> Pair:
    if watched_first:
        watched = _watched(pids, address, cookies)
        time.sleep(SETTLE_SECONDS)
        return {WATCHED: watched, UNWATCHED: _window(pids)}
    unwatched = _window(pids)
    return {WATCHED: _watched(pids, address, cookies), UNWATCHED: unwatched}


def measure(rounds: int, quiet: Quiet) -> Report:
    """Blocks for about 70 seconds a round."""
    with box.running_box() as stack:
        prepared = box.prepare(stack, n_users=N_WATCHERS, n_seq_max=4, n_ctx_seq=2048)
        asyncio.run(HostClient(prepared.host_socket).load(prepared.variant))
        pids, cookies = box.pids(stack), [person.cookie for person in prepared.people]
        address = f"127.0.0.1:{stack.port}"
        with Watching(address, cookies[:1]):
            time.sleep(SETTLE_SECONDS)
        pairs = [quiet.measure(partial(_pair, pids, address, cookies, number % 2 == 1)) for number in range(rounds)]

    def samples(side: str, name: str | None = None) -> Side:
        return Side(
            side, tuple(pair[side].together if name is None else pair[side].cpu_percent[name] for pair in pairs)
        )

    return Report(
        benchmark="watchers",
        title=f"{N_WATCHERS} open dashboards: web and host with their sockets against the same box unwatched",
        rounds=rounds,
        conditions={"watchers": N_WATCHERS, "window_seconds": WINDOW_SECONDS, "cpu_percent_of": "one core"},
        rows=[
            Row(
                "CPU, web + host",
                "%",
                samples(WATCHED),
                samples(UNWATCHED),
                "difference",
                Target("at most", MOST_CPU_PERCENT),
            ),
            Row("CPU of web alone", "%", samples(WATCHED, "web"), samples(UNWATCHED, "web"), "difference"),
        ],
        details={
            "web_rss_mb": {
                side: round(median(pair[side].web_rss_mb for pair in pairs), 1) for side in (WATCHED, UNWATCHED)
            },
        },
    )
