"""A thousand random loads, chats, evictions and crashes on one GPU-type device with a small budget: nothing may go wrong.

The host, its workers and the device (a process of llama.cpp's RPC backend) are real. Two things are watched all the time: what the workers
report that they hold on the device, and how large the process behind the device really is. An answer that ends because this test killed its
worker must end with an error that says so; every other one must come whole.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from inference.core.loads.options import LoadOptions
from tests.bench import llama_build, machine
from tests.bench.bare_load import bare_load
from tests.bench.engine_worker import starter_model
from tests.bench.host_box import HostBox, running_host, variant_row
from tests.bench.household import DEEDS, Household, Outcome
from tests.bench.quantized import quantized_starter
from tests.bench.quiet import Quiet
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target
from tests.models_app.conftest import device_process

FULL_ROUNDS = 1000
"""Deeds, each one round."""
QUICK_DEEDS = 60
BUDGET_BYTES = 300_000_000
RAM_BUDGET = "900MB"
N_PEOPLE = 8
MOST_CLIENTS = 16
"""Of the device: workers that start and end overlap."""
SEED = 20
NONE = Target("at most", 0)
LOAD = LoadOptions(n_ctx_seq=512, n_seq_max=2)


def _variants(folder: Path) -> list[dict[str, Any]]:
    """Two of which fit beside each other, in most pairs; those that may leave the device do where that pays."""
    q8_0, q4_0 = quantized_starter(folder, "Q8_0"), quantized_starter(folder, "Q4_0")
    return [
        variant_row("starter", starter_model(), LOAD, may_leave_gpu=False),
        variant_row("q8_0", q8_0, LOAD, may_leave_gpu=False),
        variant_row("q4_0", q4_0, LOAD, may_leave_gpu=False),
        variant_row("starter-long", _same(starter_model(), folder), LOAD, n_ctx_seq=2048, least_n_ctx_seq=512),
        variant_row("q8_0-one-slot", _same(q8_0, folder), LOAD, n_seq_max=1, may_quantize_kv=True),
    ]


def _same(model: Path, folder: Path) -> Path:
    """The same file under a name of its own: the inventory holds a path once."""
    (folder / "more").mkdir(exist_ok=True)
    copy = folder / "more" / model.name
    copy.write_bytes(model.read_bytes())
    return copy


async def _live(box: HostBox, ban: dict[int, float], device_pid: int, n_deeds: int) -> Outcome:
    household = Household(box, ban, SEED)
    watching = asyncio.ensure_future(household.watch(device_pid, BUDGET_BYTES))
    try:
        await household.live(N_PEOPLE, n_deeds)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    return household.outcome


def measure(rounds: int, quiet: Quiet) -> Report:
    """Blocks for about five minutes where `rounds` is FULL_ROUNDS."""
    n_deeds = FULL_ROUNDS if rounds >= FULL_ROUNDS else max(rounds, QUICK_DEEDS)
    programs = llama_build.build()
    ban = bare_load(programs.bare_load, starter_model(), LOAD, machine.physical_cores()).ban
    with tempfile.TemporaryDirectory(prefix="hostui-bench-") as name:
        folder = Path(name)
        with (
            (folder / "device.log").open("wb") as log,
            device_process(log, MOST_CLIENTS) as (endpoint, device_pid),
            running_host(
                _variants(folder),
                gpu_budget=str(BUDGET_BYTES),
                HOSTUI_BUDGET=RAM_BUDGET,
                HOSTUI_RPC_SERVERS=endpoint,
                HOSTUI_RPC_CLIENTS=str(MOST_CLIENTS),
            ) as box,
        ):
            began = time.monotonic()
            outcome = asyncio.run(_live(box, ban, device_pid, n_deeds))
            seconds = time.monotonic() - began
            leaked = [process.pid for process in box.end()]
    return _report(n_deeds, outcome, leaked, seconds)


def _report(n_deeds: int, outcome: Outcome, leaked: list[int], seconds: float) -> Report:
    lost = sum(n for what, n in outcome.ended.items() if what.endswith((": lost", ": cut")))

    def row(name: str, unit: str, value: float, target: Target = NONE) -> Row:
        return Row(name, unit, Side("counted", (value,)), None, "value", target)

    megabytes = Target("at most", BUDGET_BYTES / 1e6)
    return Report(
        benchmark="memory-live",
        title="A thousand random loads, chats, evictions and crashes within 300 MB of one device",
        rounds=n_deeds,
        conditions={
            "budget_bytes": BUDGET_BYTES,
            "people": N_PEOPLE,
            "deeds_of_a_hundred": dict(DEEDS),
            "seed": SEED,
            "device": "llama.cpp's RPC backend, one process of this machine",
        },
        rows=[
            row(f"budget exceeded, in {outcome.n_looks} looks", "times", outcome.n_over_budget),
            row("answers lost or cut", "", lost),
            row(f"processes left, of {len(outcome.workers)} workers and their children", "", len(leaked)),
            row("most that workers held on the device", "MB", outcome.most_held_bytes / 1e6, megabytes),
            row("most that the device's process had allocated", "MB", outcome.most_allocated_bytes / 1e6, megabytes),
        ],
        details={
            "ended": dict(sorted(outcome.ended.items())),
            "faults": outcome.faults[:20],
            "seconds": round(seconds, 1),
            "chat_seconds_median": round(median(outcome.waits_seconds), 2) if outcome.waits_seconds else None,
            "chat_seconds_longest": round(max(outcome.waits_seconds, default=0.0), 2),
        },
    )
