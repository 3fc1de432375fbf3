"""What one event costs the scheduler in a crowd, in milliseconds of one thread's CPU time. The crowds are taken by turns; needs no model."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from statistics import median

from inference.core.loads.devices import RAM
from inference.core.loads.options import LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.scheduling import events
from inference.core.scheduling.memory.ledger import Pool
from inference.core.scheduling.memory.residency import VariantFacts
from inference.core.scheduling.scheduler import Scheduler
from tests.bench.quiet import Quiet
from tests.bench.report import Report
from tests.bench.results import Row, Side

FULL_ROUNDS = 15
GB = 10**9
CARD_BYTES = 24 * GB


@dataclass(frozen=True, slots=True)
class Crowd:
    residents: int
    waiting: int
    variants_waited_for: int
    ways: int

    def __str__(self) -> str:
        return (
            f"{self.waiting} wait for {self.variants_waited_for} absent variants of {self.ways} ways each, "
            f"beside {self.residents} busy residents"
        )


CROWDS = (Crowd(20, 200, 20, 1), Crowd(20, 120, 120, 1), Crowd(20, 120, 120, 12), Crowd(8, 120, 120, 24))


def _milliseconds(crowd: Crowd) -> list[float]:
    """Of a lease that ends, one that is asked for, one that is given up, and a second that passes."""
    scheduler = Scheduler([Pool("gpu0", "card", CARD_BYTES, CARD_BYTES), Pool(RAM, "RAM", 64 * GB, 64 * GB)])
    now = 0.0
    each_bytes = CARD_BYTES // crowd.residents
    for number in range(crowd.residents):
        now += 0.01
        facts = _variant(number, each_bytes, 1)
        # Two answers run in each, so that one that ends makes no room.
        for seat in (1, 2):
            scheduler.handle(events.LeaseAsked(now, number * 2 + seat, facts, f"busy {number}"))
        launch = scheduler.residencies[facts.resident_id].launch
        scheduler.handle(events.WorkerReady(now, facts.resident_id, launch, 4, {}))
    for number in range(crowd.waiting):
        now += 0.001
        wanted = 1_000 + number % crowd.variants_waited_for
        facts = _variant(wanted, each_bytes + wanted, crowd.ways)
        scheduler.handle(events.LeaseAsked(now, 10_000 + number, facts, f"person {number % 40}"))
    assert len(scheduler.waiting()) == crowd.waiting
    asked = events.LeaseAsked(now, 20_000, _variant(1_000, each_bytes + 1_000, crowd.ways), "somebody else")
    took = []
    for event in (events.Left(now, 1), asked, events.Left(now, 20_000), events.Tick(now + 1)):
        began = time.thread_time()
        scheduler.handle(event)
        took.append((time.thread_time() - began) * 1000)
    return took


def _variant(variant_id: int, n_bytes: int, ways: int) -> VariantFacts:
    options = LoadOptions(n_ctx_seq=4096, n_seq_max=4)
    ladder = tuple(
        LoadWay(
            replace(options, n_gpu_layers=ways - rank),
            {"gpu0": n_bytes * (2 * ways - rank) // (2 * ways), RAM: n_bytes * rank // (2 * ways)},
            score=2.0 - rank / ways,
        )
        for rank in range(ways)
    )
    return VariantFacts(ResidentId(variant_id), f"v{variant_id}", "", n_bytes, None, options, load_ways=ladder)


def measure(rounds: int, quiet: Quiet) -> Report:
    """Blocks for about half a second a round."""
    measured = [quiet.measure(lambda: [median(_milliseconds(crowd)) for crowd in CROWDS]) for _ in range(rounds)]
    return Report(
        benchmark="scheduling",
        title="What one event costs the scheduler in a crowd",
        rounds=rounds,
        conditions={"events": "a lease ends, one is asked for, one is given up, a second passes"},
        rows=[
            Row(
                name=str(crowd),
                unit="ms",
                ours=Side("scheduler", tuple(each[number] for each in measured)),
                theirs=None,
                comparison="value",
                target=None,
            )
            for number, crowd in enumerate(CROWDS)
        ],
    )
