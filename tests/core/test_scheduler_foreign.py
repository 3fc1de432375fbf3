"""Other programs take memory and give it back; owners lower and raise budgets."""

from __future__ import annotations

from inference.core.scheduling.memory.ledger import Pool
from inference.core.scheduling.reasons import InQueue
from tests.core.scheduler_world import World, gpu, ram, variant, way

MIB = 1 << 20
GIB = 1 << 30


def card(foreign_bytes: int = 0, budget_bytes: int = 11 * GIB) -> tuple[Pool, ...]:
    return (gpu(0, budget_bytes, foreign_bytes, capacity_bytes=12 * GIB),)


def world(*sizes: int, **facts: object) -> World:
    made = World(*card())
    for number, size in enumerate(sizes, 1):
        made.shelve(variant(number, load_ways=(way(1.0, number, gpu0=size),), **facts))
    return made


def test_foreign_growth_pauses_loads_and_sends_the_cheapest_idle_one_away() -> None:
    box = world(5 * GIB, 5 * GIB)
    box.resident(1, 2)
    box.pools(*card(3 * GIB))
    assert box.stopping == {1}
    assert box.kinds()[-2:] == [("pause", None), ("evict", 1)]
    assert box.decided[-1].departure == "foreign"
    box.gone(1)
    assert box.kinds()[-1] == ("resume", None)
    assert box.state(2) == "resident"


def test_a_busy_one_drains_and_its_answer_is_not_cut() -> None:
    box = world(10 * GIB)
    box.resident(1)
    running = box.ask(1)
    box.pools(*card(6 * GIB))
    assert box.state(1) == "draining"
    later = box.ask(1, "bob")
    assert box.stopping == set()
    box.leave(running)
    assert box.stopping == {1}
    box.gone(1)
    assert box.reason(later) == "foreign"


def test_who_drains_for_other_programs_stays_when_they_go_before_the_answer_ends() -> None:
    box = world(10 * GIB)
    box.resident(1)
    box.ask(1)
    box.pools(*card(6 * GIB))
    box.pools(*card())
    assert box.state(1) == "resident"
    assert box.kinds()[-2:] == [("resume", None), ("stay", 1)]


def test_a_pinned_one_stays_whatever_others_use() -> None:
    box = world(5 * GIB, 5 * GIB)
    box.resident(1, 2)
    box.pin(1)
    box.pools(*card(11 * GIB))
    assert box.stopping == {2}
    box.wait(1000)
    assert box.state(1) == "resident"


def test_noise_evicts_nobody() -> None:
    box = world(5 * GIB, 6 * GIB)
    box.pools(*card(GIB - 10))
    box.resident(1, 2)
    for jitter in (1, -1, 30, -30, 48, 0):
        box.pools(*card(GIB - 10 + jitter * MIB))
    assert box.stopping == set()
    box.pools(*card(GIB + 50 * MIB))
    assert box.stopping == {1}


def test_nothing_is_loaded_onto_noise() -> None:
    box = world(5 * GIB, 6 * GIB)
    box.pools(*card(GIB - 10 + MIB))
    box.resident(1)
    box.ask(2)
    assert 2 not in box.starts
    assert box.stopping == {1}


def test_what_only_other_programs_keep_out_waits_and_says_so() -> None:
    box = world(10 * GIB)
    box.pools(*card(6 * GIB))
    ticket = box.ask(1)
    wait = box.waits[ticket]
    assert isinstance(wait, InQueue)
    assert (wait.position, wait.reason.kind, wait.reason.device, wait.reason.device_name) == (
        1,
        "foreign",
        "gpu0",
        "card 0",
    )
    box.wait(1000)
    box.pools(*card(1 * GIB))
    assert box.starts == [1]


def test_nobody_leaves_for_a_variant_that_other_programs_keep_out() -> None:
    box = world(10 * GIB, 4 * GIB)
    box.pools(*card(6 * GIB))
    box.resident(2)
    box.ask(1)
    assert box.stopping == set()
    ticket = box.ask(2, "bob")
    assert ticket in box.leases, "and nobody else is held up"


def test_what_had_to_leave_comes_back_after_a_while_pinned_ones_first() -> None:
    box = world(5 * GIB, 5 * GIB)
    box.resident(1, 2)
    box.pools(*card(11 * GIB))
    assert box.stopping == {1, 2}
    box.gone(1)
    box.gone(2)
    box.pin(2)
    box.pools(*card(6 * GIB))
    box.wait(4.9)
    assert box.starts == [1, 2]
    box.pools(*card(11 * GIB))
    box.pools(*card(6 * GIB))
    box.wait(4.9)
    assert box.starts == [1, 2], "it was gone in between"
    box.wait(0.2)
    assert box.starts == [1, 2, 2]
    assert box.kinds()[-1] == ("restore", 2)
    box.ready(2)
    box.pools(*card())
    box.wait(5.1)
    assert box.starts == [1, 2, 2, 1]


def test_somebody_who_waits_brings_it_back_at_once() -> None:
    box = world(5 * GIB)
    box.resident(1)
    box.pools(*card(11 * GIB))
    box.gone(1)
    box.ask(1)
    box.pools(*card())
    assert box.starts == [1, 1]
    assert box.kinds()[-1] == ("restore", 1)


def test_what_a_person_unloads_or_would_have_left_for_idleness_does_not_come_back() -> None:
    box = world(4 * GIB, 4 * GIB, keep_alive_seconds=60.0)
    box.resident(1, 2)
    box.pools(*card(11 * GIB))
    box.gone(1)
    box.gone(2)
    box.unload(1)
    box.wait(61)
    box.pools(*card())
    box.wait(60)
    assert box.starts == [1, 2]


def test_a_lesser_way_fits_beside_other_programs() -> None:
    box = World(*card(6 * GIB), ram(64 * GIB, capacity_bytes=64 * GIB))
    box.shelve(variant(1, load_ways=(way(9.0, 33, gpu0=8 * GIB), way(2.0, 10, gpu0=4 * GIB, ram=4 * GIB))))
    box.ask(1)
    assert box.way_of(1) == 10


def test_a_lowered_budget_sends_idle_ones_away_and_a_raised_one_brings_them_back() -> None:
    box = world(5 * GIB, 5 * GIB)
    box.resident(1, 2)
    box.pools(*card(budget_bytes=6 * GIB))
    assert box.stopping == {1}
    assert box.decided[-1].departure == "budget"
    box.gone(1)
    box.pools(*card())
    box.wait(5.1)
    assert box.starts == [1, 2, 1]


def test_a_budget_below_what_waits_refuses_it() -> None:
    box = world(6 * GIB, 6 * GIB)
    box.resident(1)
    box.ask(1)
    waiting = box.ask(2, "bob")
    box.pools(*card(budget_bytes=6 * GIB))
    assert waiting not in box.refused
    box.pools(*card(budget_bytes=6 * GIB - 1))
    assert box.refused[waiting].budget_bytes == 6 * GIB - 1


def test_a_load_in_progress_gives_way_to_other_programs() -> None:
    box = world(10 * GIB)
    ticket = box.ask(1)
    box.pools(*card(6 * GIB))
    assert box.stopping == {1}
    box.gone(1)
    assert box.reason(ticket) == "foreign"
