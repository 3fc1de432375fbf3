"""Making room: idle ones go, least recently used first; busy ones drain; what can never fit is refused."""

from __future__ import annotations

from inference.core.loads.devices import RAM
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.reasons import ForEviction, ForLoading
from tests.core.scheduler_world import World, variant


def shelf(world: World, *sizes: int) -> list[int]:
    return [world.shelve(variant(number, size)) for number, size in enumerate(sizes, 1)]


def test_the_least_recently_used_idle_variant_leaves() -> None:
    world = World()
    one, two, three = shelf(world, 40, 40, 40)
    world.resident(one, two)
    world.leave(world.ask(one))
    world.now += 1
    ticket = world.ask(three)
    assert world.stopping == {two}
    assert world.waits[ticket] == ForEviction((ResidentId(two),))
    world.gone(two)
    assert world.waits[ticket] == ForLoading(0.0)
    assert world.scheduler.reserved_bytes == 80


def test_the_end_of_a_lease_counts_as_use() -> None:
    world = World()
    one, two, three = shelf(world, 40, 40, 40)
    world.resident(one, two)
    ones = world.ask(one)
    world.now += 1
    twos = world.ask(two)
    world.leave(twos)
    world.now += 1
    world.leave(ones)
    world.ask(three)
    assert world.stopping == {two}


def test_of_busy_variants_the_one_leased_longest_ago_drains() -> None:
    world = World()
    one, two, three = shelf(world, 40, 40, 40)
    world.resident(one, two)
    world.ask(two)
    world.now += 1
    world.ask(one)
    world.ask(three, "bob")
    world.wait(31)
    assert (world.state(one), world.state(two)) == ("resident", "draining")


def test_nothing_starts_before_the_bytes_are_really_free() -> None:
    world = World()
    one, two = shelf(world, 60, 60)
    world.resident(one)
    world.ask(two)
    assert world.starts == [one]
    world.gone(one)
    assert world.starts == [one, two]


def test_a_running_answer_is_not_cut_and_the_wait_names_its_cause() -> None:
    world = World()
    one, two = shelf(world, 60, 60)
    world.resident(one)
    running = world.ask(one)
    waiting = world.ask(two, "bob")
    assert world.stopping == set()
    assert (world.position(waiting), world.reason(waiting)) == (1, "room")
    world.leave(running)
    assert world.stopping == {one}
    world.gone(one)
    world.ready(two)
    assert waiting in world.leases


def test_a_busy_variant_that_is_not_in_the_way_stays() -> None:
    world = World()
    one, two, three = shelf(world, 40, 40, 40)
    world.resident(one, two)
    world.ask(one)
    world.ask(three)
    assert world.stopping == {two}


def test_bigger_than_the_budget_is_refused_with_both_numbers() -> None:
    world = World()
    (one,) = shelf(world, 101)
    ticket = world.ask(one)
    refusal = world.refused[ticket]
    assert refusal.kind == "does_not_fit"
    assert (refusal.needed_bytes, refusal.budget_bytes) == (101, 100)
    assert world.starts == []


def test_only_pinned_ones_in_the_way_is_refused_at_once() -> None:
    world = World()
    one, two = shelf(world, 60, 60)
    world.resident(one)
    world.pin(one)
    ticket = world.ask(two)
    assert world.refused[ticket].pinned == (ResidentId(one),)
    assert world.state(one) == "resident"
    world.pin(one, False)
    world.ask(two)
    assert world.stopping == {one}


def test_a_pin_set_while_somebody_waits_for_the_room_refuses_them() -> None:
    world = World()
    one, two = shelf(world, 60, 60)
    world.resident(one)
    world.ask(one)
    waiting = world.ask(two)
    world.pin(one)
    assert world.refused[waiting].kind == "does_not_fit"


def test_bytes_made_free_for_one_variant_are_not_taken_by_the_next() -> None:
    world = World()
    one, two, three = shelf(world, 60, 80, 40)
    world.resident(one)
    first = world.ask(two, "ann")
    second = world.ask(three, "bob")
    world.gone(one)
    assert world.starts == [one, two]
    assert world.waits[first] == ForLoading(0.0)
    assert world.reason(second) == "room"


def test_a_load_that_nobody_waits_for_any_more_gives_way() -> None:
    world = World()
    one, two = shelf(world, 60, 60)
    world.leave(world.ask(one))
    world.ask(two)
    assert world.stopping == {one}


def test_whoever_drained_stays_when_the_one_in_need_leaves_the_queue() -> None:
    world = World()
    one, two = shelf(world, 60, 60)
    world.resident(one)
    world.ask(one)
    waiting = world.ask(two)
    world.wait(31)
    assert world.state(one) == "draining"
    behind = world.ask(one, "bob")
    world.leave(waiting)
    assert world.state(one) == "resident"
    assert world.reason(behind) == "slots"


def test_more_bytes_than_estimated_push_out_idle_others_and_are_remembered() -> None:
    world = World()
    one, two = shelf(world, 40, 40)
    world.resident(one)
    world.ask(two)
    world.ready(two, {RAM: 70})
    assert world.stopping == {one}
    assert world.leases == {2: two}
    world.gone(one)
    assert world.scheduler.reserved_bytes == 70
    world.leave(2)
    world.unload(two)
    world.gone(two)
    world.ask(two)
    assert world.scheduler.reserved_bytes == 70


def test_fewer_bytes_than_estimated_leave_room_for_others() -> None:
    world = World()
    one, two = shelf(world, 60, 60)
    world.load(one)
    world.ready(one, {RAM: 35})
    world.ask(two)
    assert world.starts == [one, two]
    assert world.stopping == set()


def test_a_variant_that_measures_more_than_the_budget_leaves_before_anybody_is_sent_to_it() -> None:
    world = World()
    (one,) = shelf(world, 90)
    ticket = world.ask(one)
    world.ready(one, {RAM: 120})
    assert world.grants == []
    assert world.stopping == {one}
    world.gone(one)
    refusal = world.refused[ticket]
    assert refusal.kind == "does_not_fit"
    assert (refusal.needed_bytes, refusal.budget_bytes) == (120, 100)
    assert world.starts == [one]
