"""`python -m tests.bench.scheduling [ROUNDS]` prints what one event costs the scheduler in a crowd, in milliseconds of CPU.

Alone of the measures it needs no model and no quiet machine: CPU time of one thread, the crowds taken by turns, medians.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass, replace

from inference.core import events
from inference.core.ledger import RAM, Pool
from inference.core.options import LoadOptions
from inference.core.residency import LoadAlternative, VariantFacts
from inference.core.scheduler import Scheduler

ROUNDS = 15
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


def milliseconds(crowd: Crowd) -> list[float]:
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
        launch = scheduler.residencies[number].launch
        scheduler.handle(events.WorkerReady(now, number, launch, 4, {}))
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
        LoadAlternative(
            replace(options, n_gpu_layers=ways - rank),
            {"gpu0": n_bytes * (2 * ways - rank) // (2 * ways), RAM: n_bytes * rank // (2 * ways)},
            worth=2.0 - rank / ways,
        )
        for rank in range(ways)
    )
    return VariantFacts(variant_id, f"v{variant_id}", "", n_bytes, None, options, alternatives=ladder)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    took: dict[Crowd, list[float]] = {crowd: [] for crowd in CROWDS}
    for _ in range(rounds):
        for crowd in CROWDS:
            took[crowd] += milliseconds(crowd)
    for crowd, each in took.items():
        print(f"{statistics.median(each):6.2f} ms (most {max(each):.2f}): {crowd}")


if __name__ == "__main__":
    main()
