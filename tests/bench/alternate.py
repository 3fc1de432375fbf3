"""Two people who take turns on two variants that do not fit together: the scheduler's order against plain first-come order.

Ours: each asks, reads the answer at once and asks again, both at the same time; the host decides who waits. First come, first served: the same
requests to the same host, one after another in the order in which the two would ask, so that every one of them needs a swap. What no order can
save, the answers themselves and one load of each variant, is told in the details.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from inference.core.options import LoadOptions
from tests.bench import llama_build, machine
from tests.bench.bare_load import bare_load
from tests.bench.quiet import Quiet
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target
from tests.bench.swapping import Answered, Asking, OurSide, our_side, two_models

FULL_ROUNDS = 3
N_REQUESTS = 20
N_TOKENS = 16
MOST_RATIO = 0.4
MAX_WAIT_SECONDS = 30.0
"""The host's own default, after which a busy variant must leave for somebody who waits."""
PEOPLE = ("ann", "bob")
OURS, THEIRS = "scheduler", "first come, first served"


@dataclass(frozen=True, slots=True)
class Turns:
    seconds: float
    """From the first request to the last answer."""
    answers: Sequence[Answered]

    @property
    def longest_wait_seconds(self) -> float:
        return max(answer.first_token_seconds for answer in self.answers)

    @property
    def answering_seconds(self) -> float:
        return sum(answer.last_token_seconds - answer.first_token_seconds for answer in self.answers)


async def _together(asking: Asking, side: OurSide, models: tuple[Path, Path]) -> Turns:
    async def person(name: str, model: Path) -> list[Answered]:
        return [await asking.ask(side, name, model, N_TOKENS) for _ in range(N_REQUESTS)]

    began = time.perf_counter()
    answers = await asyncio.gather(*(person(name, model) for name, model in zip(PEOPLE, models, strict=True)))
    return Turns(time.perf_counter() - began, [each for own in answers for each in own])


async def _in_order(asking: Asking, side: OurSide, models: tuple[Path, Path]) -> Turns:
    began = time.perf_counter()
    answers = [
        await asking.ask(side, name, model, N_TOKENS)
        for _ in range(N_REQUESTS)
        for name, model in zip(PEOPLE, models, strict=True)
    ]
    return Turns(time.perf_counter() - began, answers)


@dataclass(frozen=True, slots=True)
class _Round:
    scheduled: Turns
    in_order: Turns

    @property
    def swap_seconds(self) -> float:
        """A swap to the first token, nobody being in the way."""
        return median(answer.first_token_seconds for answer in self.in_order.answers)


def _round(asking: Asking, load: LoadOptions, models: tuple[Path, Path]) -> _Round:
    """Each in a host of its own: what one has learnt of these people is not known to the other."""
    with our_side(models, load, HOSTUI_MAX_WAIT_SECONDS=str(MAX_WAIT_SECONDS)) as (side, _):
        scheduled = asyncio.run(_together(asking, side, models))
    with our_side(models, load, HOSTUI_MAX_WAIT_SECONDS=str(MAX_WAIT_SECONDS)) as (side, _):
        return _Round(scheduled, asyncio.run(_in_order(asking, side, models)))


def measure(rounds: int, quiet: Quiet) -> Report:
    """Blocks for about 50 seconds a round."""
    programs = llama_build.build()
    n_threads = machine.physical_cores()
    load = LoadOptions(n_ctx_seq=1024, n_seq_max=2, n_threads=n_threads)
    with two_models() as models:
        asking = Asking(bare_load(programs.bare_load, models[0], load, n_threads).ban)
        measured = [quiet.measure(partial(_round, asking, load, models)) for _ in range(rounds)]
    bound_seconds = MAX_WAIT_SECONDS + max(each.swap_seconds for each in measured)
    return Report(
        benchmark="alternate",
        title=f"Two people on two variants that do not fit together, {N_REQUESTS} requests each",
        rounds=rounds,
        conditions={
            "models": [model.name for model in models],
            "load_options": load.to_json(),
            "tokens_per_answer": N_TOKENS,
            "max_wait_seconds": MAX_WAIT_SECONDS,
        },
        rows=[
            Row(
                name="all answers of both",
                unit="s",
                ours=Side(OURS, tuple(each.scheduled.seconds for each in measured)),
                theirs=Side(THEIRS, tuple(each.in_order.seconds for each in measured)),
                comparison="ratio",
                target=Target("at most", MOST_RATIO),
            ),
            Row(
                name="longest wait for a first token, of all rounds",
                unit="s",
                ours=Side(OURS, (max(each.scheduled.longest_wait_seconds for each in measured),)),
                theirs=None,
                comparison="value",
                target=Target("at most", round(bound_seconds, 2)),
            ),
        ],
        details={
            "swap_seconds": round(median(each.swap_seconds for each in measured), 3),
            "least_possible_ratio": round(
                median(
                    (each.scheduled.answering_seconds + 2 * each.swap_seconds) / each.in_order.seconds
                    for each in measured
                ),
                3,
            ),
            "swaps_in_order": 2 * N_REQUESTS,
        },
    )
