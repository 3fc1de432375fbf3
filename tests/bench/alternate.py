"""Two people who take turns on two variants that do not fit together: the scheduler's order against plain first-come order.

Ours: each asks, reads the answer at once and asks again, both at the same time; the host decides who waits. First come, first served: the same
requests to the same host, one after another in the order in which the two would ask, so that every one of them needs a swap. What no order can
save, the answers themselves and one load of each variant, is told beside it: the quicker a swap is beside an answer, the less there is to save.
So two pairs are measured: the starter with another model, for which the target is set, and with a quantization of itself, which loads fastest
of all: there the best of all orders comes near the target, or misses it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from inference.core.loads.options import LoadOptions
from tests.bench import llama_build, machine
from tests.bench.engine_worker import gemma_model
from tests.bench.quiet import Quiet
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target
from tests.bench.swapping import (
    Answered,
    Asking,
    OurSide,
    bans,
    other_quantization,
    our_side,
    two_models,
)

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
    """Together: all of the first person's, then the second's."""

    @property
    def longest_wait_seconds(self) -> float:
        return max(answer.first_token_seconds for answer in self.answers)

    @property
    def usual_first_token_seconds(self) -> float:
        """Of an answer that waits for nothing but its prompt, as most do here."""
        return median(answer.first_token_seconds for answer in self.answers)

    def answer_seconds(self, person: int) -> float:
        """From the request to the last token, for that person's usual one."""
        own = self.answers[person * N_REQUESTS :][:N_REQUESTS]
        return median(answer.last_token_seconds for answer in own)


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

    @property
    def least_seconds(self) -> float:
        """What the best of all orders needs: every answer, and each variant loaded once."""
        answers = sum(N_REQUESTS * self.scheduled.answer_seconds(person) for person in range(len(PEOPLE)))
        return answers + len(PEOPLE) * (self.swap_seconds - self.scheduled.usual_first_token_seconds)


def _round(asking: Asking, load: LoadOptions, models: tuple[Path, Path]) -> _Round:
    """Each in a host of its own: what one has learnt of these people is not known to the other."""
    with our_side(models, load, HOSTUI_MAX_WAIT_SECONDS=str(MAX_WAIT_SECONDS)) as (side, _):
        scheduled = asyncio.run(_together(asking, side, models))
    with our_side(models, load, HOSTUI_MAX_WAIT_SECONDS=str(MAX_WAIT_SECONDS)) as (side, _):
        return _Round(scheduled, asyncio.run(_in_order(asking, side, models)))


@dataclass(frozen=True, slots=True)
class _Pair:
    name: str
    other: Callable[[Path], Path]
    """What stands beside the starter."""
    target: Target | None


PAIRS = (
    _Pair("two models", gemma_model, Target("at most", MOST_RATIO)),
    _Pair("two quantizations of one model", other_quantization, None),
)


@dataclass(frozen=True, slots=True)
class _Measured:
    pair: _Pair
    models: tuple[Path, Path]
    rounds: Sequence[_Round]

    @property
    def bound_seconds(self) -> float:
        """For the one of the two who waits; inference.core.scheduling.scheduler."""
        return MAX_WAIT_SECONDS + max(each.swap_seconds for each in self.rounds)

    @property
    def rows(self) -> list[Row]:
        scheduled = tuple(each.scheduled.seconds for each in self.rounds)
        in_order = tuple(each.in_order.seconds for each in self.rounds)
        longest_wait_seconds = max(each.scheduled.longest_wait_seconds for each in self.rounds)
        return [
            Row(
                name=f"{self.pair.name}: all answers of both",
                unit="s",
                ours=Side(OURS, scheduled),
                theirs=Side(THEIRS, in_order),
                comparison="ratio",
                target=self.pair.target,
            ),
            Row(
                name=f"{self.pair.name}: beside what the best of all orders needs",
                unit="s",
                ours=Side(OURS, scheduled),
                theirs=Side(
                    "every answer, each variant loaded once", tuple(each.least_seconds for each in self.rounds)
                ),
                comparison="ratio",
            ),
            Row(
                name=f"{self.pair.name}: longest wait for a first token, of all rounds",
                unit="s",
                ours=Side(OURS, (longest_wait_seconds,)),
                theirs=None,
                comparison="value",
                target=Target("at most", round(self.bound_seconds, 2)),
            ),
        ]

    @property
    def details(self) -> dict[str, object]:
        return {
            "models": [model.name for model in self.models],
            "swap_seconds": round(median(each.swap_seconds for each in self.rounds), 3),
            "answer_seconds": [
                round(median(each.scheduled.answer_seconds(person) for each in self.rounds), 3)
                for person in range(len(PEOPLE))
            ],
            "least_possible_ratio": round(
                median(each.least_seconds / each.in_order.seconds for each in self.rounds), 3
            ),
        }


def _measure_pair(pair: _Pair, rounds: int, quiet: Quiet, bare_loader: Path, load: LoadOptions) -> _Measured:
    with two_models(pair.other) as models:
        asking = Asking(bans(bare_loader, models, load, machine.physical_cores()))
        return _Measured(pair, models, [quiet.measure(partial(_round, asking, load, models)) for _ in range(rounds)])


def measure(rounds: int, quiet: Quiet) -> Report:
    """Blocks for about two minutes a round."""
    programs = llama_build.build()
    load = LoadOptions(n_ctx_seq=1024, n_seq_max=2, n_threads=machine.physical_cores())
    measured = [_measure_pair(pair, rounds, quiet, programs.bare_load, load) for pair in PAIRS]
    return Report(
        benchmark="alternate",
        title=f"Two people on two variants that do not fit together, {N_REQUESTS} requests each",
        rounds=rounds,
        conditions={
            "load_options": load.to_json(),
            "tokens_per_answer": N_TOKENS,
            "max_wait_seconds": MAX_WAIT_SECONDS,
            "swaps_in_order": 2 * N_REQUESTS,
        },
        rows=[row for each in measured for row in each.rows],
        details={each.pair.name: each.details for each in measured},
    )
