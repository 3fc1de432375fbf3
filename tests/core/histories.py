"""Histories of a box, each decoded from a string of bytes: one draw of hypothesis is one history, and it still shrinks.

Two bytes make an act, and any byte makes sense: people arrive, finish, give up; workers load, measure, crash; foreign memory
rises and falls; budgets, pins, options and files change; time passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from inference.core.loads.vocabulary import LeaseKind
from inference.core.loads.ways import LoadWay
from inference.core.scheduling import events
from inference.core.scheduling.memory.ledger import Pool
from inference.core.scheduling.memory.residency import VariantFacts
from tests.core.scheduler_world import World, gpu, ram, variant, way

N_VARIANTS = 5
USERS = "abc"
KINDS: tuple[LeaseKind, ...] = ("interactive", "interactive", "interactive", "batch")
FAILURES = ("killed", "out_of_memory", "hung", "bad_file")
SETUP_BYTES = 2 + 2 * N_VARIANTS


class Promise:
    """Watches one promise. Each method sees the world after what it names."""

    def __init__(self, world: World) -> None:
        self.world = world

    def before(self, event: events.Event) -> None:
        """`event` is about to be handled."""

    def on(self, effect: events.Effect) -> None:
        """One effect of it, in order. The scheduler has finished with the event; the world has obeyed the effect."""

    def after(self, event: events.Event) -> None:
        """All its effects are obeyed."""

    def end(self) -> None:
        """The history is over, and everybody has been served who can be."""


class HistoryWorld(World):
    def __init__(self, *pools: Pool, promise: type[Promise]) -> None:
        super().__init__(*pools)
        self.promise = promise(self)

    def feed(self, event: events.Event) -> list[events.Effect]:
        self.promise.before(event)
        effects = super().feed(event)
        self.promise.after(event)
        return effects

    def _obey(self, effect: events.Effect) -> None:
        super()._obey(effect)
        self.promise.on(effect)


def play(story: bytes, promise: type[Promise]) -> None:
    """Lives through `story`, then lets everybody finish."""
    world = _world(story[:SETUP_BYTES], promise)
    acts = story[SETUP_BYTES:]
    for what, detail in zip(acts[::2], acts[1::2], strict=False):
        _ACTS[what % len(_ACTS)](world, detail)
    _let_everybody_finish(world)
    world.promise.end()


def _pools(world_kind: int, foreign: int, budget_cut: int) -> tuple[Pool, ...]:
    """RAM alone, one card, or two; `foreign` in use by others, `budget_cut` off the first device."""
    if world_kind == 0:
        return (ram(100 - budget_cut, foreign, capacity_bytes=120),)
    cards = [gpu(number, 100 - (budget_cut if number == 0 else 0), foreign) for number in range(world_kind)]
    return (*cards, ram(150, foreign // 2, capacity_bytes=160))


def _world(setup: bytes, promise: type[Promise]) -> HistoryWorld:
    padded = setup.ljust(SETUP_BYTES, b"\x07")
    kind = padded[0] % 3
    world = HistoryWorld(*_pools(kind, 0, 0), promise=promise)
    world.kind = kind  # type: ignore[attr-defined]
    world.foreign = world.budget_cut = 0  # type: ignore[attr-defined]
    for number in range(1, N_VARIANTS + 1):
        world.shelve(_variant(number, kind, padded[2 * number], padded[2 * number + 1]))
    return world


def _variant(number: int, kind: int, size: int, shape: int) -> VariantFacts:
    n_bytes = 5 + size % 116
    n_seq_max = 1 + shape % 3
    keep_alive = None if shape & 16 else 20.0
    ladder: list[LoadWay] = []
    if kind:
        card = f"gpu{number % kind}"
        ladder = [way(10.0, 9, **{card: n_bytes, "ram": 3})]
        if shape & 4:
            ladder.append(way(8.5 if shape & 32 else 4.0, 5, **{card: n_bytes // 2, "ram": n_bytes // 2}))
        if shape & 8:
            ladder.append(way(1.0, 0, ram=n_bytes))
        if kind == 2 and shape & 64:
            ladder.insert(0, way(11.0, 8, gpu0=n_bytes // 2, gpu1=n_bytes // 2, ram=2))
        ladder = [
            replace(
                each,
                options=replace(each.options, n_seq_max=n_seq_max),
                overhead_by_device={card: 2} if shape & 128 and each.bytes_by_device.get(card, 0) > 2 else {},
            )
            for each in ladder
        ]
    return variant(number, n_bytes, n_seq_max, keep_alive_seconds=keep_alive, load_ways=tuple(ladder))


# acts ---------------------------------------------------------------------------------------------------------------


def _pick(among: Any, detail: int) -> Any:
    ordered = sorted(among)
    return ordered[detail % len(ordered)] if ordered else None


def _number(detail: int) -> int:
    return 1 + detail % N_VARIANTS


def _ask(world: World, detail: int) -> None:
    world.ask(_number(detail), USERS[detail // 5 % 3], KINDS[detail // 15 % 4])


def _load(world: World, detail: int) -> None:
    world.load(_number(detail), anyway=detail >= 128)


def _unload(world: World, detail: int) -> None:
    world.unload(_number(detail))


def _pin(world: World, detail: int) -> None:
    world.pin(_number(detail), pinned=detail % 2 == 0)


def _change(world: World, detail: int) -> None:
    facts = world.facts[_number(detail)]
    if detail >= 128:
        facts = replace(facts, fingerprint=str(detail))
    else:
        facts = replace(facts, options=replace(facts.options, n_batch=32 + detail))
    world.facts[facts.resident_id.variant_id] = facts
    world.feed(events.FactsRead(world.now, facts))


def _finish(world: World, detail: int) -> None:
    ticket = _pick(world.leases, detail)
    if ticket is not None:
        world.leave(ticket)


def _give_up(world: World, detail: int) -> None:
    ticket = _pick(world.waits, detail)
    if ticket is not None:
        world.leave(ticket)


def _worker_moves_on(world: World, detail: int) -> None:
    variant_id = _pick(world.alive, detail)
    if variant_id is None:
        return
    residency = world.residency(variant_id)
    if variant_id in world.stopping or residency.is_ending:
        world.gone(variant_id)
    elif residency.state == "loading":
        assert residency.way is not None
        overheads = residency.way.overhead_by_device
        slack = (detail // 5) % 12
        buffers = {
            device: max(1, n_bytes - overheads.get(device, 0) + slack - 8)
            for device, n_bytes in residency.bytes_by_device.items()
        }
        world.ready(variant_id, buffers if detail % 2 else None)
    elif detail >= 200:
        world.measured(
            variant_id, **{device: max(1, n + detail % 9 - 5) for device, n in residency.bytes_by_device.items()}
        )
    else:
        world.healthy(variant_id)


def _ending(world: World, detail: int) -> None:
    variant_id = _pick(world.alive, detail)
    if variant_id is not None:
        world.ending(variant_id)


def _crash(world: World, detail: int) -> None:
    variant_id = _pick(world.alive, detail)
    if variant_id is not None:
        world.gone(variant_id, FAILURES[detail // 8 % 4])


def _foreign(world: Any, detail: int) -> None:
    world.foreign = 0 if detail < 64 else (detail - 64) // 2
    world.pools(*_pools(world.kind, world.foreign, world.budget_cut))


def _budget(world: Any, detail: int) -> None:
    world.budget_cut = 0 if detail < 100 else (detail - 100) // 2
    world.pools(*_pools(world.kind, world.foreign, world.budget_cut))


def _wait(world: World, detail: int) -> None:
    world.wait(0.01 if detail < 40 else detail / 6)


_ACTS: tuple[Callable[[Any, int], None], ...] = (
    *(_ask, _ask, _ask, _ask, _ask, _ask),
    *(_worker_moves_on, _worker_moves_on, _worker_moves_on, _worker_moves_on, _worker_moves_on),
    *(_finish, _finish, _finish, _wait, _wait, _foreign, _budget),
    *(_load, _unload, _pin, _change, _give_up, _ending, _crash),
)


def _let_everybody_finish(world: Any) -> None:
    """Others give their memory back, every worker does what it should, every answer ends, and time passes."""
    world.foreign = world.budget_cut = 0
    world.pools(*_pools(world.kind, 0, 0))
    world.settle()
