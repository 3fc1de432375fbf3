"""Evict or degrade: of its ways a variant is loaded in the one that gives the most."""

from __future__ import annotations

from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.scheduling.decisions import Evicted
from inference.core.scheduling.refusals import DoesNotFit
from tests.core.scheduler_world import World, gpu, ram, variant, way


def world(*ladders: list[LoadWay]) -> World:
    made = World(gpu(0), ram(1000, capacity_bytes=2000))
    for number, ladder in enumerate(ladders, 1):
        made.shelve(variant(number, load_ways=tuple(ladder)))
    return made


def ladder(on_gpu: int, score: float = 10.0) -> list[LoadWay]:
    """Wholly on the card, half of it for 0.4 of the score, or in RAM for a tenth."""
    return [
        way(score, 33, gpu0=on_gpu, ram=5),
        way(score * 0.4, 16, gpu0=on_gpu // 2, ram=on_gpu // 2),
        way(score * 0.1, 0, ram=on_gpu),
    ]


def test_the_best_way_is_taken_while_it_fits() -> None:
    box = world(ladder(60))
    box.resident(1)
    assert box.way_of(1) == 33
    assert box.residency(1).bytes_by_device == {"gpu0": 60, "ram": 5}


def test_ways_need_not_come_in_order() -> None:
    box = world(list(reversed(ladder(60))))
    box.resident(1)
    assert box.way_of(1) == 33


def test_an_idle_variant_leaves_for_a_much_better_way() -> None:
    box = world(ladder(60), ladder(60))
    box.resident(1)
    box.ask(2)
    assert box.stopping == {1}
    box.gone(1)
    assert box.way_of(2) == 33


def test_a_way_that_is_nearly_as_good_spares_the_others() -> None:
    box = world(ladder(60), [way(10.0, 33, gpu0=60), way(8.5, 20, gpu0=40, ram=20), way(1.0, 0, ram=60)])
    box.resident(1)
    box.ask(2)
    assert box.stopping == set()
    assert box.way_of(2) == 20
    assert box.decided[-1].why == "spares"


def test_beside_a_pinned_variant_it_is_content_with_less() -> None:
    box = world(ladder(60), ladder(60))
    box.resident(1)
    box.pin(1)
    box.ask(2)
    assert box.way_of(2) == 16
    assert box.decided[-1].why == "lesser"
    assert box.stopping == set()


def test_a_busy_variant_is_waited_for_where_the_better_way_is_worth_twice_as_much() -> None:
    box = world(ladder(60), ladder(60))
    box.resident(1)
    running = box.ask(1)
    waiting = box.ask(2, "bob")
    assert box.reason(waiting) == "room"
    assert box.starts == [1]
    box.leave(running)
    assert box.stopping == {1}
    box.gone(1)
    assert box.way_of(2) == 33


def test_a_busy_variant_is_not_waited_for_where_the_lesser_way_is_more_than_half_as_good() -> None:
    box = world(ladder(60), [way(10.0, 33, gpu0=60), way(6.0, 20, gpu0=40, ram=20)])
    box.resident(1)
    box.ask(1)
    box.ask(2, "bob")
    assert box.way_of(2) == 20


def test_not_even_the_smallest_way_beside_the_pinned_ones_is_refused_with_the_numbers() -> None:
    box = world(ladder(80), [way(10.0, 33, gpu0=60), way(5.0, 20, gpu0=30)])
    box.resident(1)
    box.pin(1)
    refusal = box.refused[box.ask(2)]
    assert refusal.kind == "does_not_fit"
    assert refusal == DoesNotFit("gpu0", 30, 100, (ResidentId(1),), 80, 0, "card 0")


def test_a_way_needs_room_on_every_device_it_names() -> None:
    box = World(gpu(0, budget_bytes=100), gpu(1, budget_bytes=50))
    box.shelve(variant(1, load_ways=(way(9.0, 33, gpu0=60, gpu1=60), way(5.0, 20, gpu0=60))))
    box.resident(1)
    assert box.way_of(1) == 20


def test_a_device_that_is_gone_is_a_way_that_is_gone() -> None:
    box = World(ram(1000))
    box.shelve(variant(1, load_ways=tuple(ladder(60))))
    box.resident(1)
    assert box.way_of(1) == 0


def test_a_resident_in_a_lesser_way_is_not_reloaded_behind_peoples_backs() -> None:
    box = world(ladder(60), ladder(60))
    box.resident(1)
    box.pin(1)
    box.resident(2)
    box.unload(1)
    box.gone(1)
    box.wait(100)
    box.ask(2)
    assert box.way_of(2) == 16
    assert box.starts == [1, 2]
    box.leave(4)
    box.unload(2)
    box.gone(2)
    box.ask(2)
    assert box.way_of(2) == 33, "but on its next load it gets what there is"


def test_what_a_way_measured_counts_on_its_next_load_and_for_that_way_only() -> None:
    box = world(ladder(60), ladder(60))
    box.load(1)
    box.ready(1, {"gpu0": 96, "ram": 9})
    assert box.residency(1).bytes_by_device == {"gpu0": 96, "ram": 9}
    box.unload(1)
    box.gone(1)
    box.resident(2)
    box.pin(2)
    box.ask(1)
    assert box.way_of(1) == 16


def test_the_one_that_is_cheapest_to_bring_back_leaves() -> None:
    box = World(gpu(0, budget_bytes=100))
    for number in (1, 2, 3):
        box.shelve(variant(number, load_ways=(way(1.0, number, gpu0=45),)))
    for number, seconds in ((1, 20.0), (2, 2.0)):
        box.load(number)
        box.now += seconds
        box.ready(number)
    box.ask(3)
    assert box.stopping == {2}, "the least recently used took ten times as long to load"
    evict = next(each for each in box.decided if isinstance(each, Evicted))
    assert (evict.for_resident, evict.reload_seconds) == (ResidentId(3), 2.0)
    assert evict.spared[0].resident_id == ResidentId(1)
    assert evict.cost_seconds < evict.spared[0].cost_seconds


def test_the_one_that_is_used_often_stays() -> None:
    box = World(gpu(0, budget_bytes=100))
    for number in (1, 2, 3):
        box.shelve(variant(number, load_ways=(way(1.0, number, gpu0=45),)))
    for number in (1, 2):
        box.load(number)
        box.now += 5.0
        box.ready(number)
    for _ in range(5):
        box.leave(box.ask(1))
        box.now += 60
    box.leave(box.ask(2))
    box.ask(3)
    assert box.stopping == {2}, "used last, but seldom"


def test_load_anyway_goes_first_and_drains_at_once_but_cuts_no_answer() -> None:
    box = world([way(1.0, 1, gpu0=60)], [way(1.0, 1, gpu0=60)], [way(1.0, 1, gpu0=60)])
    box.resident(1)
    running = box.ask(1)
    early = box.ask(3, "eve")
    by_hand = box.load(2, anyway=True)
    assert box.state(1) == "draining"
    assert box.stopping == set()
    box.leave(running)
    box.gone(1)
    box.ready(2)
    assert by_hand in box.completed
    assert early not in box.leases


def test_load_anyway_keeps_within_the_budget_and_beside_the_pinned() -> None:
    box = world([way(1.0, 1, gpu0=60)], [way(1.0, 1, gpu0=60)])
    box.resident(1)
    box.pin(1)
    assert box.refused[box.load(2, anyway=True)].kind == "does_not_fit"
    assert box.state(1) == "resident"
