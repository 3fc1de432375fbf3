"""What hostui tells of memory before it loads anything, against what llama.cpp really allocates; and how long a plan takes.

Layers really leave the RAM: for the first card that llama.cpp can use, or without one for a GPU-type device that a process of its RPC backend
serves on this machine. Each case is one device of one load; the devices' own overheads (a driver's context) are not part of the comparison: tests/gpu measures those.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from inference.core.loads.options import LoadOptions
from inference.core.planning.cautions import cautions
from inference.core.planning.header_estimates import HeaderEstimates
from inference.core.planning.load_ways import load_ways
from inference.core.planning.placement import place
from inference.core.planning.wishes import Wishes
from models_app.gguf import read_files
from models_app.hardware import Device, Profile
from models_app.hardware.cards import card
from models_app.hardware.profile import GIB
from tests.bench.memory_cases import MIB, OPTIONS, Case, accelerator, measure_variant, variants
from tests.bench.quiet import Quiet
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target
from tests.gguf_builder import SHAPES, build

FULL_ROUNDS = 7
MOST_DRY_RUN_ERROR_PERCENT = 0.5
MOST_PLAN_SECONDS = 1.0
HEADER, DRY_RUN, PLAN, LADDER = "header", "dry run + header", "plan", "every way of an occupied machine"


def _profiles() -> Sequence[Profile]:
    ram = Device("RAM", "ram", 64 * GIB, 60 * 10**9)
    small, large = card("RTX 3060"), card("RTX 3090")
    assert small is not None
    assert large is not None
    return (
        Profile("no GPU", ram),
        Profile("12 GB", ram, gpus=(small,)),
        Profile("24 + 12 GB", ram, gpus=(large, small)),
    )


def _plan(path: Path, profile: Profile) -> float:
    """Seconds, from the file to alternatives with their cautions."""
    started = time.perf_counter()
    header = read_files(path)
    wishes = Wishes(n_ctx_seq=8192, least_n_ctx_seq=2048, n_seq_max=2)
    placement = place(header, profile, wishes)
    for each in placement.ways:
        cautions(each, placement, header, profile, wishes)
    assert placement.ways, profile.name
    return time.perf_counter() - started


def _climb(path: Path, profile: Profile) -> float:
    """Seconds, from the file to every way that the host may choose from."""
    started = time.perf_counter()
    wishes = Wishes(n_ctx_seq=8192, least_n_ctx_seq=2048, n_seq_max=2)
    gpu_ids = [f"gpu{number}" for number in range(len(profile.gpus))]
    assert load_ways(HeaderEstimates(read_files(path)), profile, gpu_ids, wishes, LoadOptions())
    return time.perf_counter() - started


def _slowest(timed: Callable[[Path, Profile], float], path: Path, rounds: int, quiet: Quiet) -> tuple[float, ...]:
    """Of each round, the profile that took longest."""
    return tuple(max(quiet.measure(partial(timed, path, profile)) for profile in _profiles()) for _ in range(rounds))


def _worst(name: str, unit: str, side: str, value: float, target: Target) -> Row:
    """A figure that holds for every case, which no median may hide."""
    return Row(name, unit, Side(side, (value,)), None, "value", target)


def _rows(cases: Sequence[Case], plans: tuple[float, ...], ladders: tuple[float, ...]) -> list[Row]:
    told = [case for case in cases if case.told_bytes is not None]
    asked = [case for case in cases if case.dry_run_bytes is not None]
    below = max(0, -min(case.above_bytes for case in told))
    return [
        _worst(f"most below, of {len(told)} cases", "bytes", HEADER, below, Target("at most", 0)),
        _worst(
            "most above, as a share of 3 % or 64 MiB, whichever is more",
            "%",
            HEADER,
            100 * max(case.share_of_allowance for case in told),
            Target("at most", 100),
        ),
        _worst(
            f"most beside, of {len(asked)} cases",
            "%",
            DRY_RUN,
            100 * max(case.dry_run_error for case in asked),
            Target("at most", MOST_DRY_RUN_ERROR_PERCENT),
        ),
        Row(
            "all alternatives for 80 layers of 40 GB, from the file on",
            "s",
            Side(PLAN, plans),
            None,
            "value",
            Target("at most", MOST_PLAN_SECONDS),
        ),
        Row("the same for the host's choice among other variants", "s", Side(LADDER, ladders), None, "value"),
    ]


def _details(cases: Sequence[Case]) -> dict[str, object]:
    told = [case for case in cases if case.told_bytes is not None]
    asked = [case for case in cases if case.dry_run_bytes is not None]
    lowest = min(told, key=lambda case: case.above_bytes)
    farthest = max(told, key=lambda case: case.above_bytes)
    tightest = max(told, key=lambda case: case.share_of_allowance)
    beyond_megabytes = [case for case in told if case.real_bytes > 256 * MIB]
    widest = max(beyond_megabytes, key=lambda case: case.above_bytes / case.real_bytes, default=farthest)
    beside = max(asked, key=lambda case: case.dry_run_error)
    return {
        "cases": len(cases),
        "cases_with_no_estimate": sorted({case.variant for case in cases if case.told_bytes is None}),
        "bytes_really_allocated_gib": round(sum(case.real_bytes for case in cases) / 2**30, 1),
        "lowest": {"bytes_above": lowest.above_bytes, "case": str(lowest)},
        "highest": {"mib_above": round(farthest.above_bytes / MIB, 2), "case": str(farthest)},
        "highest_of_256_mib_and_more": {
            "percent_above": round(100 * widest.above_bytes / max(1, widest.real_bytes), 2),
            "case": str(widest),
        },
        "nearest_to_the_bound": {"share": round(tightest.share_of_allowance, 3), "case": str(tightest)},
        "dry_run_worst": {"percent": round(100 * beside.dry_run_error, 4), "case": str(beside)},
    }


def measure(rounds: int, quiet: Quiet) -> Report:
    """Blocks for some minutes. Fewer rounds than FULL_ROUNDS look at a few variants alone."""
    with tempfile.TemporaryDirectory(prefix="hostui-bench-") as name:
        folder = Path(name)
        with (folder / "device.log").open("wb") as log, accelerator(log) as gpu:
            cases = [
                case
                for variant, path in variants(folder, few=rounds < FULL_ROUNDS)
                for case in measure_variant(variant, path, gpu)
            ]
        large = build(folder / "llama-70b.gguf", SHAPES["llama-70b"], quantization="Q4_K_M")
        large_bytes = large.stat().st_size
        plans, ladders = (_slowest(timed, large, rounds, quiet) for timed in (_plan, _climb))
    return Report(
        benchmark="memory",
        title="Memory: what is told before a load against what is really allocated",
        rounds=rounds,
        conditions={
            "variants": sorted({case.variant for case in cases}),
            "load_options": [options.to_json() for options in OPTIONS],
            "devices": ["CPU", gpu.name],
            "planned_file_bytes": large_bytes,
            "planned_for": [profile.name for profile in _profiles()],
        },
        rows=_rows(cases, plans, ladders),
        details=_details(cases),
    )
