"""Unloading: for idleness, because a person asks, and when the host ends."""

from __future__ import annotations

from inference.core.scheduling import events
from tests.core.scheduler_world import World, ram, variant


def test_an_idle_variant_leaves_after_its_keep_alive() -> None:
    world = World()
    one = world.shelve(variant(1, keep_alive_seconds=60.0))
    world.load(one)
    world.ready(one)
    world.wait(59)
    world.leave(world.ask(one))
    world.wait(59.9)
    assert world.state(one) == "resident"
    world.wait(0.2)
    assert world.stopping == {one}


def test_a_leased_or_pinned_variant_does_not_leave_for_idleness() -> None:
    world = World()
    one, two = (world.shelve(variant(number, keep_alive_seconds=60.0)) for number in (1, 2))
    world.resident(one, two)
    world.ask(one)
    world.pin(two)
    world.wait(1000)
    assert (world.state(one), world.state(two)) == ("resident", "resident")
    world.pin(two, False)
    assert world.stopping == {two}


def test_an_idle_host_has_no_deadline() -> None:
    world = World()
    world.resident(world.shelve(variant(1)))
    assert world.scheduler.next_deadline() is None


def test_unload_waits_for_the_running_answer_and_refuses_the_queue() -> None:
    world = World()
    one = world.shelve(variant(1))
    world.resident(one)
    running, waiting = world.ask(one), world.ask(one, "bob")
    asked = world.unload(one)
    assert world.refused[waiting].kind == "unloaded"
    assert world.stopping == set()
    world.leave(running)
    assert world.stopping == {one}
    assert asked not in world.completed
    world.gone(one)
    assert asked in world.completed
    assert world.state(one) == "absent"


def test_unload_ends_a_load_and_takes_a_pinned_one_too() -> None:
    world = World()
    one = world.shelve(variant(1, pinned=True))
    loading = world.load(one)
    asked = world.unload(one)
    assert world.refused[loading].kind == "unloaded"
    world.gone(one)
    assert asked in world.completed


def test_unload_of_an_absent_variant_completes_at_once() -> None:
    world = World()
    one = world.shelve(variant(1))
    assert world.unload(one) in world.completed


def test_a_request_after_the_unload_loads_it_again() -> None:
    world = World()
    one = world.shelve(variant(1))
    world.resident(one)
    running = world.ask(one)
    world.unload(one)
    later = world.ask(one, "bob")
    assert world.reason(later) == "leaving"
    world.leave(running)
    world.gone(one)
    world.ready(one)
    assert later in world.leases


def test_shutdown_refuses_what_waits_and_lets_answers_finish() -> None:
    world = World()
    one, two = world.shelve(variant(1)), world.shelve(variant(2))
    world.resident(one, two)
    running, waiting = world.ask(one), world.ask(one)
    world.feed(events.ShutdownAsked(world.now, 10.0))
    assert world.refused[waiting].kind == "shutting_down"
    assert world.refused[world.ask(two)].kind == "shutting_down"
    assert world.stopping == {two}
    world.leave(running)
    assert world.stopping == {one, two}
    world.gone(one)
    assert not world.scheduler.is_closed
    world.gone(two)
    assert world.scheduler.is_closed


def test_shutdown_ends_an_answer_that_takes_too_long() -> None:
    world = World()
    one = world.shelve(variant(1))
    world.resident(one)
    world.ask(one)
    world.feed(events.ShutdownAsked(world.now, 10.0))
    world.wait(9.9)
    assert world.stopping == set()
    world.wait(0.1)
    assert world.stopping == {one}


def test_a_transient_variant_goes_with_its_last_lease() -> None:
    world = World()
    one = world.shelve(variant(1, transient=True))
    first = world.ask(one)
    second = world.ask(one, "bob")
    world.ready(one)
    world.leave(first)
    assert second in world.leases, "whoever waits is served before it goes"
    assert world.stopping == set()
    world.leave(second)
    assert world.stopping == {one}
    assert [each.departure for each in world.decided if each.kind == "unload"] == ["unwanted"]


def test_a_transient_variant_that_nobody_waits_for_is_not_loaded_to_the_end() -> None:
    world = World()
    one = world.shelve(variant(1, transient=True))
    asked = world.ask(one)
    world.progress(one, 0.5)
    world.leave(asked)
    assert world.stopping == {one}


def test_a_transient_variant_that_left_for_other_programs_does_not_come_back() -> None:
    world = World(ram(100, capacity_bytes=100))
    one = world.shelve(variant(1, transient=True))
    running = world.ask(one)
    world.ready(one)
    world.pools(ram(100, foreign_bytes=90, capacity_bytes=100))
    world.leave(running)
    world.gone(one)
    world.pools(ram(100, capacity_bytes=100))
    world.wait(60)
    assert world.starts == [one]


def test_the_failure_of_a_transient_variant_is_told_and_forgotten() -> None:
    world = World()
    one = world.shelve(variant(1, transient=True))
    asked = world.ask(one)
    world.gone(one)
    assert world.state(one) == "loading", "somebody waits: it is tried again"
    world.gone(one)
    world.gone(one)
    assert world.refused[asked].kind == "failed"
    assert world.state(one) == "absent"
    world.ask(one)
    assert world.state(one) == "loading", "the next one is not told of the last one's bad luck"
