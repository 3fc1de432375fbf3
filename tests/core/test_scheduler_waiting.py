"""Waiting is grouped by variant, fair to people, and bounded."""

from __future__ import annotations

from tests.core.scheduler_world import World, variant


def shelf(world: World, *sizes: int) -> list[int]:
    return [world.shelve(variant(number, size)) for number, size in enumerate(sizes, 1)]


def test_requests_are_grouped_by_variant() -> None:
    world = World()
    one, two, three = shelf(world, 60, 60, 60)
    world.resident(one)
    asked = [(each, world.ask(each, f"user{n}")) for n, each in enumerate([one, two, three, one, two, three])]
    for _ in range(30):
        for each in list(world.stopping):
            world.gone(each)
        for each in list(world.alive):
            if world.state(each) == "loading":
                world.ready(each)
        for ticket in list(world.leases):
            world.now += 0.1
            world.leave(ticket)
    variant_of = {ticket: each for each, ticket in asked}
    assert [variant_of[ticket] for ticket in world.grants] == [one, one, two, two, three, three]
    assert world.starts == [one, two, three]


def test_positions_of_variants_to_be_loaded_form_one_line() -> None:
    world = World()
    one, two, three = shelf(world, 60, 60, 60)
    world.resident(one)
    world.ask(one)
    tickets = [world.ask(each, user) for each, user in ((two, "b"), (three, "c"), (two, "d"), (three, "e"))]
    assert [world.position(ticket) for ticket in tickets] == [1, 3, 2, 4]


def test_a_busy_resident_cannot_starve_another_queue() -> None:
    world = World(max_wait_seconds=30)
    one, two = shelf(world, 60, 60)
    world.resident(one)
    arrived_at = world.now
    running = world.ask(one, "ann")
    waiting = world.ask(two, "bob")
    while waiting not in world.leases:
        following = world.ask(one, "ann")
        world.wait(1.0)
        world.leave(running)
        running = following
        for each in list(world.stopping):
            world.gone(each)
        if two in world.alive and world.state(two) == "loading":
            world.ready(two)
        assert world.now - arrived_at <= 33, "starved"
    assert world.now - arrived_at >= 30, "swapped before the bound: not grouped"


def test_a_variant_that_gave_way_does_not_come_back_before_those_it_gave_way_to() -> None:
    world = World(max_wait_seconds=30)
    one, two = shelf(world, 60, 60)
    world.resident(one)
    running = world.ask(one, "ann")
    world.wait(1)
    behind_ann = world.ask(one, "carl")
    world.wait(1)
    waiting = world.ask(two, "bob")
    world.wait(30)
    world.leave(running)
    world.gone(one)
    world.ready(two)
    assert waiting in world.leases, "one was unloaded and loaded again for nothing"
    world.leave(waiting)
    world.gone(two)
    world.ready(one)
    assert behind_ann in world.leases


def test_two_variants_in_constant_demand_take_turns_instead_of_thrashing() -> None:
    world = World(max_wait_seconds=30)
    one, two = shelf(world, 60, 60)
    world.resident(one)
    running = {one: world.ask(one, "ann"), two: world.ask(two, "bob")}
    while world.now < 300:
        world.wait(1.0)
        for each, user in ((one, "ann"), (two, "bob")):
            if running[each] in world.leases:
                following = world.ask(each, user)
                world.leave(running[each])
                running[each] = following
        for each in list(world.stopping):
            world.gone(each)
        for each in list(world.alive):
            if world.state(each) == "loading":
                world.ready(each)
    assert 8 <= len(world.starts) <= 11


def test_nobody_squeezes_in_past_an_overdue_variant() -> None:
    world = World(max_wait_seconds=30)
    one, two, small = shelf(world, 60, 100, 30)
    world.resident(one)
    world.ask(one)
    world.ask(two, "bob")
    world.wait(31)
    late = world.ask(small, "eve")
    assert small not in world.alive
    assert world.reason(late) == "behind"


def test_a_resident_may_stay_as_long_as_others_may_wait() -> None:
    world = World(max_wait_seconds=30)
    one, two, small = shelf(world, 60, 100, 30)
    world.ask(one)
    world.now = 5.0
    world.ask(two, "bob")
    world.now = 20.0
    world.ready(one)
    world.wait(16)
    assert world.state(one) == "resident", "overdue for bob since second 35, but it came only in second 20"
    late = world.ask(small, "eve")
    assert world.reason(late) == "behind"
    world.wait(13.9)
    assert world.state(one) == "resident"
    world.wait(0.1)
    assert world.state(one) == "draining"


def test_a_small_one_loads_beside_a_big_one_that_still_waits_politely() -> None:
    world = World(max_wait_seconds=30)
    one, two, small = shelf(world, 60, 100, 30)
    world.resident(one)
    world.ask(one)
    world.ask(two, "bob")
    world.ask(small, "eve")
    assert world.starts == [one, small]


def test_batch_work_makes_room_for_a_person_without_delay() -> None:
    world = World()
    one, two = shelf(world, 60, 60)
    world.resident(one)
    running = world.ask(one, "job", "batch")
    world.ask(one, "job", "batch")
    person = world.ask(two, "ann")
    assert world.state(one) == "draining"
    world.leave(running)
    world.gone(one)
    world.ready(two)
    assert person in world.leases


def test_batch_waits_behind_people_but_not_forever() -> None:
    world = World(max_wait_seconds=30)
    (one,) = shelf(world, 60)
    world.resident(one)
    running = world.ask(one, "ann")
    batch = world.ask(one, "job", "batch")
    arrived_at = world.now
    while batch not in world.leases:
        following = world.ask(one, "ann")
        world.wait(1.0)
        world.leave(running)
        running = following
        assert world.now - arrived_at <= 32
    assert world.now - arrived_at >= 30


def test_a_slot_goes_to_the_person_served_least_recently() -> None:
    world = World()
    (one,) = shelf(world, 60)
    world.resident(one)
    running = world.ask(one, "ann")
    anns = [world.ask(one, "ann") for _ in range(50)]
    bobs = world.ask(one, "bob")
    assert world.position(bobs) == 1
    world.leave(running)
    assert bobs in world.leases
    world.leave(bobs)
    assert anns[0] in world.leases
