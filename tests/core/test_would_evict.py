"""Who would leave for something that is not on this box yet."""

from __future__ import annotations

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.memory.eviction import Resident
from inference.core.scheduling.memory.ledger import Pool
from inference.core.scheduling.memory.would_evict import WouldEvict, would_evict

CARD = Pool("gpu0", "card", 12_000, 10_000, 1_000)
RAM = Pool("ram", "RAM", 64_000, 32_000, 4_000)


def resident(number: int, n_bytes: int, **how: bool) -> Resident:
    return Resident(ResidentId(number), {"gpu0": n_bytes}, cost_seconds=float(n_bytes), **how)


def ids(*numbers: int) -> tuple[ResidentId, ...]:
    return tuple(map(ResidentId, numbers))


def test_beside_everybody_nobody_leaves() -> None:
    assert would_evict({"gpu0": 4_000, "ram": 100}, [resident(1, 6_000)], [RAM, CARD]) == WouldEvict()


def test_the_cheapest_idle_ones_leave_and_the_busy_ones_are_waited_for() -> None:
    there = [resident(1, 3_000), resident(2, 4_000), resident(3, 3_000, busy=True)]

    assert would_evict({"gpu0": 2_500}, there, [RAM, CARD]) == WouldEvict(evicts=ids(1))
    assert would_evict({"gpu0": 9_500}, there, [RAM, CARD]) == WouldEvict(evicts=ids(1, 2), waits_for=ids(3))


def test_what_is_pinned_stands_in_the_way() -> None:
    found = would_evict({"gpu0": 6_000}, [resident(1, 5_000, pinned=True), resident(2, 1_000)], [RAM, CARD])
    assert found == WouldEvict(pinned=ids(1))
    assert not found.is_possible


def test_other_programs_may_stand_in_the_way() -> None:
    taken = Pool("gpu0", "card", 12_000, 10_000, 1_000, foreign_bytes=8_000)
    found = would_evict({"gpu0": 6_000}, [], [RAM, taken])
    assert (found.foreign_bytes, found.is_possible) == (8_000, False)


def test_a_device_that_the_host_does_not_know_is_not_asked_about() -> None:
    assert would_evict({"gpu7": 6_000}, [resident(1, 5_000)], [RAM, CARD]) == WouldEvict()
