"""From a request to its first token where another variant must leave first, in the middle of an answer of that one.

One person is being answered by one variant when another asks for the second; only one of them fits. Nobody's answer is cut: both sides let
the first one end. Ours is the host with its workers, theirs is llama-server as a router with `--models-max 1`, on the same files with the
same options. Rounds alternate which side goes first, and each swap goes the other way than the one before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from inference.core.loads.options import LoadOptions
from tests.bench import llama_build, machine
from tests.bench.quiet import Quiet
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target
from tests.bench.router import Router
from tests.bench.swapping import Asking, TheirSide, bans, our_side, two_models
from tests.bench.swapping import Side as AnsweringSide

FULL_ROUNDS = 15
MOST_RATIO = 0.9
N_TOKENS_BUSY = 32
N_TOKENS_WANTED = 4
READING_SECONDS = 1.5
"""Between one swap and the next people read; nobody is back within moments, whom a host might wait for."""
OURS, THEIRS = "host", "llama-server router"


@dataclass(frozen=True, slots=True)
class Swap:
    first_token_seconds: float
    rest_seconds: float
    """Of that time, what the answer of the other variant still took."""


class _Swaps:
    def __init__(self, asking: Asking, models: tuple[Path, Path], sides: Mapping[str, AnsweringSide]) -> None:
        self._asking = asking
        self._resident = dict.fromkeys(sides, models)
        self._sides = sides

    def round(self, order: Sequence[str]) -> dict[str, Swap]:
        return {name: asyncio.run(self._swap(name)) for name in order}

    async def _swap(self, name: str) -> Swap:
        side, (resident, wanted) = self._sides[name], self._resident[name]
        began = asyncio.Event()
        busy = asyncio.ensure_future(self._asking.ask(side, "ann", resident, N_TOKENS_BUSY, began))
        await began.wait()
        asked = time.perf_counter()
        swapped = asyncio.ensure_future(self._asking.ask(side, "bob", wanted, N_TOKENS_WANTED))
        await busy
        rest_seconds = time.perf_counter() - asked
        answered = await swapped
        self._resident[name] = wanted, resident
        await asyncio.sleep(READING_SECONDS)
        return Swap(answered.first_token_seconds, rest_seconds)


def measure(rounds: int, quiet: Quiet) -> Report:
    """Blocks for about six seconds a round, longer where llama-server must be built first."""
    programs = llama_build.build()
    n_threads = machine.physical_cores()
    load = LoadOptions(n_ctx_seq=1024, n_seq_max=2, n_threads=n_threads)
    with (
        two_models() as models,
        our_side(models, load) as (ours, _),
        Router(programs.server, models, load, n_threads) as router,
    ):
        asking = Asking(bans(programs.bare_load, models, load, n_threads))
        swaps = _Swaps(asking, models, {OURS: ours, THEIRS: TheirSide(router)})
        for _ in range(2):
            swaps.round((OURS, THEIRS))  # each variant was loaded once by each side
        measured = [
            quiet.measure(partial(swaps.round, (OURS, THEIRS) if number % 2 else (THEIRS, OURS)))
            for number in range(rounds)
        ]

    def side(name: str) -> Side:
        return Side(name, tuple(each[name].first_token_seconds for each in measured))

    return Report(
        benchmark="swap",
        title="A swap in the middle of an answer: from the request to the first token",
        rounds=rounds,
        conditions={
            "models": [model.name for model in models],
            "load_options": load.to_json(),
            "tokens_of_the_answer_that_is_running": N_TOKENS_BUSY,
            "router_options": ["--models-max", "1"],
        },
        rows=[
            Row(
                name="swap, request to first token",
                unit="s",
                ours=side(OURS),
                theirs=side(THEIRS),
                comparison="ratio",
                target=Target("at most", MOST_RATIO),
            )
        ],
        details={
            "of_it_the_other_answer_s": {
                name: round(median(each[name].rest_seconds for each in measured), 3) for name in (OURS, THEIRS)
            }
        },
    )
