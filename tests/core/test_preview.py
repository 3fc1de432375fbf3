"""The preview says what a load would do, and the load then does it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.preview import Preview
from tests.core.scheduler_world import World, gpu, ram, variant, way


def box() -> World:
    made = World(gpu(0), ram(1000, capacity_bytes=2000))
    for number, size in enumerate((60, 60, 30, 50), 1):
        made.shelve(variant(number, load_ways=(way(10.0, 33, gpu0=size),)))
    return made


def preview(world: World, variant_id: int, anyway: bool = False) -> Preview:
    """Asked twice, to show that asking changes nothing."""
    deadline = world.scheduler.next_deadline()
    first = world.scheduler.preview(world.facts[variant_id], world.now, anyway)
    again = world.scheduler.preview(world.facts[variant_id], world.now, anyway)
    assert replace(again, unfit=None) == replace(first, unfit=None)
    assert world.scheduler.next_deadline() == deadline
    return first


def test_it_fits() -> None:
    world = box()
    found = preview(world, 1)
    assert (found.outcome, found.is_degraded, found.evicts) == ("fits", False, ())
    assert found.way is not None
    assert found.way.bytes_by_device == {"gpu0": 60}
    assert world.starts == []


def test_it_evicts_idle_ones_and_says_how_long_they_were_idle_and_what_their_reload_takes() -> None:
    world = box()
    world.load(1)
    world.now += 4.0
    world.ready(1)
    world.now += 90.0
    found = preview(world, 2)
    assert found.outcome == "evicts"
    (leaver,) = found.evicts
    assert (leaver.resident_id, leaver.idle_seconds, leaver.reload_seconds) == (ResidentId(1), 90.0, 4.0)
    assert world.stopping == set()


def test_it_waits_for_busy_ones_and_anyway_changes_only_how_long() -> None:
    world = box()
    world.resident(1)
    world.ask(1)
    found = preview(world, 2)
    assert (found.outcome, [each.resident_id for each in found.waits_for]) == ("waits", [ResidentId(1)])
    assert (found.waits_for[0].answers, found.waits_for[0].idle_seconds) == (1, None)
    assert preview(world, 2, anyway=True).outcome == "waits"
    assert world.state(1) == "resident"


def test_it_is_degraded_beside_a_pinned_one() -> None:
    world = box()
    world.facts[2] = replace(world.facts[2], load_ways=(way(10.0, 33, gpu0=60), way(4.0, 10, gpu0=30, ram=30)))
    world.resident(1)
    world.pin(1)
    found = preview(world, 2)
    assert (found.outcome, found.is_degraded, found.why) == ("fits", True, "lesser")
    assert found.best.options.n_gpu_layers == 33


def test_it_cannot_beside_a_pinned_one() -> None:
    world = box()
    world.resident(1)
    world.pin(1)
    found = preview(world, 2)
    assert found.outcome == "cannot"
    assert found.unfit is not None
    assert (found.unfit.needed_bytes, found.unfit.pinned, found.unfit.pinned_bytes) == (60, (ResidentId(1),), 60)


def test_it_waits_for_other_programs() -> None:
    world = box()
    world.pools(gpu(0, foreign_bytes=60), ram(1000, capacity_bytes=2000))
    found = preview(world, 1)
    assert found.outcome == "waits"
    assert found.reason is not None
    assert found.reason.kind == "foreign"  # type: ignore[union-attr]


def test_it_waits_behind_those_who_wait_already() -> None:
    world = box()
    world.resident(1)
    world.ask(2, "ann")
    found = preview(world, 4)
    assert found.outcome == "waits", "its bytes are being vacated for another"


def test_resident_and_loading_are_said_to_be() -> None:
    world = box()
    world.load(1)
    assert preview(world, 1).outcome == "loading"
    world.ready(1)
    assert preview(world, 1).outcome == "resident"
    changed = replace(world.facts[1], fingerprint="new")
    assert world.scheduler.preview(changed, world.now).outcome == "waits"


@pytest.mark.parametrize("busy", [False, True])
def test_what_was_said_is_what_happens(busy: bool) -> None:
    world = box()
    world.resident(1, 3)
    if busy:
        world.ask(1)
    found = preview(world, 2)
    world.load(2)
    if busy:
        assert {each.resident_id for each in found.waits_for} == {ResidentId(1)}
        assert world.stopping == set()
    else:
        assert world.stopping == {each.resident_id.variant_id for each in found.evicts} == {1}
