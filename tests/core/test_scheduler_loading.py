"""From a first request to a lease: one worker per variant, as many leases as slots."""

from __future__ import annotations

from dataclasses import replace

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling import events
from inference.core.scheduling.reasons import ForLoading
from tests.core.scheduler_world import World, variant


def test_concurrent_first_requests_start_one_worker() -> None:
    world = World()
    one = world.shelve(variant(1, n_seq_max=3))
    tickets = [world.ask(one, user) for user in ("ann", "bob", "eve")]
    assert world.starts == [one]
    world.ready(one)
    assert sorted(world.leases) == tickets


def test_a_resident_variant_is_leased_at_once() -> None:
    world = World()
    one = world.shelve(variant(1))
    world.resident(one)
    ticket = world.ask(one)
    assert world.grants == [ticket]
    assert ticket not in world.waits


def test_no_more_leases_than_slots() -> None:
    world = World()
    one = world.shelve(variant(1, n_seq_max=2))
    world.resident(one)
    first, second, third = (world.ask(one) for _ in range(3))
    assert sorted(world.leases) == [first, second]
    assert (world.position(third), world.reason(third)) == (1, "slots")
    world.leave(first)
    assert sorted(world.leases) == [second, third]


def test_who_will_get_a_slot_sees_the_load_progress_and_the_rest_their_place() -> None:
    world = World()
    one = world.shelve(variant(1))
    first, second, third = (world.ask(one) for _ in range(3))
    world.progress(one, 0.4)
    assert world.waits[first] == ForLoading(0.4)
    assert (world.position(second), world.reason(second)) == (1, "loading")
    assert world.position(third) == 2


def test_progress_never_goes_back() -> None:
    world = World()
    one = world.shelve(variant(1))
    ticket = world.ask(one)
    world.progress(one, 0.4)
    world.progress(one, 0.2)
    assert world.waits[ticket] == ForLoading(0.4)


def test_a_vanished_client_leaves_the_queue_at_once_and_the_others_move_up() -> None:
    world = World()
    one = world.shelve(variant(1))
    world.resident(one)
    _, second, third = (world.ask(one) for _ in range(3))
    world.leave(second)
    assert world.position(third) == 1
    assert [request.ticket for request, _, _ in world.scheduler.waiting()] == [third]


def test_load_completes_when_the_variant_is_resident() -> None:
    world = World()
    one = world.shelve(variant(1))
    ticket = world.load(one)
    assert world.completed == []
    world.ready(one)
    assert world.completed == [ticket]
    again = world.load(one)
    assert world.completed == [ticket, again]
    assert world.starts == [one]


def test_reports_of_an_earlier_worker_are_void() -> None:
    world = World()
    one = world.shelve(variant(1))
    world.ask(one)
    first_launch = world.alive[one]
    world.gone(one)
    assert world.starts == [one, one]
    world.feed(events.WorkerReady(world.now, ResidentId(one), first_launch, 1, {}))
    assert world.state(one) == "loading"


def test_changed_options_reload_after_the_running_answer() -> None:
    world = World()
    one = world.shelve(variant(1))
    world.resident(one)
    running = world.ask(one)
    facts = world.facts[one]
    world.facts[one] = replace(facts, options=replace(facts.options, n_seq_max=2))
    waiting = world.ask(one)
    assert world.state(one) == "draining"
    assert world.reason(waiting) == "leaving"
    world.leave(running)
    assert world.stopping == {one}
    world.gone(one)
    world.ready(one)
    assert waiting in world.leases
    assert world.residency(one).n_seq_max == 2


def test_an_unknown_kv_cache_never_means_does_not_fit() -> None:
    world = World(budget_bytes=100)
    one = world.shelve(replace(variant(1, 90), kv_bytes_per_token=None))
    ticket = world.ask(one)
    world.ready(one)
    assert ticket in world.leases
