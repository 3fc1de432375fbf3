"""A worker counts its buffers; what it holds beyond them, the driver tells later."""

from __future__ import annotations

from dataclasses import replace

from inference.core.loads.devices import RAM
from tests.core.scheduler_world import World, gpu, ram, variant, way

CONTEXT = 3


def box() -> World:
    """A card of 100 bytes, and two variants that are expected to take 50 and 48 of it, 3 of them for a CUDA context."""
    made = World(gpu(0), ram())
    for number, n_bytes in ((1, 50), (2, 48)):
        on_card = replace(way(1.0, 9, gpu0=n_bytes, ram=1), overhead_by_device={"gpu0": CONTEXT})
        made.shelve(variant(number, load_ways=(on_card,)))
    return made


def held(world: World, variant_id: int, device: str = "gpu0") -> int:
    return world.residency(variant_id).bytes_by_device.get(device, 0)


def test_the_expected_overhead_stays_beside_the_buffers_that_the_worker_counted() -> None:
    world = box()
    world.load(1)
    world.ready(1, {"gpu0": 45, RAM: 2})
    assert (held(world, 1), held(world, 1, RAM)) == (45 + CONTEXT, 2)
    assert world.scheduler.ledger.free("gpu0") == 100 - 45 - CONTEXT


def test_the_overhead_of_a_device_without_buffers_stays_too() -> None:
    world = box()
    world.load(1)
    world.ready(1, {"gpu0": 0, RAM: 40})
    assert held(world, 1) == CONTEXT


def test_what_the_driver_tells_replaces_the_overhead_and_leaves_other_devices_as_they_are() -> None:
    world = box()
    world.load(1)
    world.ready(1, {"gpu0": 47, RAM: 2})
    world.measured(1, gpu0=53)
    assert (held(world, 1), held(world, 1, RAM)) == (53, 2)
    world.measured(1, gpu0=52)
    assert held(world, 1) == 52


def test_an_overhead_that_leaves_too_little_is_noticed_when_the_driver_tells() -> None:
    world = box()
    world.load(1)
    world.ready(1, {"gpu0": 47})
    world.load(2)
    world.ready(2, {"gpu0": 45})
    assert world.stopping == set()
    world.measured(2, gpu0=51)
    assert len(world.stopping) == 1
    assert ("pause", None) in world.kinds()


def test_the_next_load_expects_the_overhead_that_the_driver_told() -> None:
    world = box()
    world.load(1)
    world.ready(1, {"gpu0": 47, RAM: 1})
    world.measured(1, gpu0=47 + 2 * CONTEXT)
    world.unload(1)
    world.gone(1)
    world.load(1)
    assert held(world, 1) == 47 + 2 * CONTEXT
    world.ready(1, {"gpu0": 40, RAM: 1})
    assert held(world, 1) == 40 + 2 * CONTEXT


def test_what_is_told_of_an_earlier_worker_or_one_on_its_way_out_counts_for_nothing() -> None:
    world = box()
    world.load(1)
    world.measured(1, gpu0=99)
    assert held(world, 1) == 50, "it is still loading"
    world.ready(1, {"gpu0": 47})
    world.unload(1)
    world.measured(1, gpu0=20)
    assert held(world, 1) == 47 + CONTEXT, "a process that is ending gives back bit by bit"
    world.gone(1)
    assert world.scheduler.reserved_bytes == 0
