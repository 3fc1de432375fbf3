"""Whatever happens in whatever order, the scheduler keeps its promises, and everybody is served in the end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inference.core.loads.devices import RAM
from inference.core.scheduling import events
from tests.core.scheduler_world import World, variant
from tests.properties import examples

VARIANTS = st.integers(1, 5)


class History(RuleBasedStateMachine):
    """Arrivals, finishes, crashes, cancels, pins, unloads, changed files and the passing of time, in any order."""

    measures_more = False

    @initialize(
        sizes=st.lists(st.integers(5, 120), min_size=5, max_size=5),
        seats=st.lists(st.integers(1, 3), min_size=5, max_size=5),
        keep_alive=st.lists(st.none() | st.integers(0, 50), min_size=5, max_size=5),
    )
    def shelve(self, sizes: list[int], seats: list[int], keep_alive: list[int | None]) -> None:
        self.world = World(budget_bytes=100)
        for number, (size, n_seq_max, seconds) in enumerate(zip(sizes, seats, keep_alive, strict=True), 1):
            self.world.shelve(variant(number, size, n_seq_max, keep_alive_seconds=seconds))

    @rule(variant_id=VARIANTS, user=st.sampled_from("abc"), kind=st.sampled_from(["interactive", "batch"]))
    def ask(self, variant_id: int, user: str, kind: str) -> None:
        self.world.ask(variant_id, user, kind)  # type: ignore[arg-type]

    @rule(variant_id=VARIANTS)
    def load(self, variant_id: int) -> None:
        self.world.load(variant_id)

    @rule(variant_id=VARIANTS)
    def unload(self, variant_id: int) -> None:
        self.world.unload(variant_id)

    @rule(variant_id=VARIANTS, pinned=st.booleans())
    def pin(self, variant_id: int, pinned: bool) -> None:
        self.world.pin(variant_id, pinned)

    @rule(variant_id=VARIANTS, n_seq_max=st.integers(1, 3))
    def change_options(self, variant_id: int, n_seq_max: int) -> None:
        facts = self.world.facts[variant_id]
        self.world.facts[variant_id] = replace(facts, options=replace(facts.options, n_seq_max=n_seq_max))
        self.world.feed(events.FactsRead(self.world.now, self.world.facts[variant_id]))

    @precondition(lambda self: self.world.leases)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.world.leave(data.draw(st.sampled_from(sorted(self.world.leases))))

    @precondition(lambda self: self.world.waits)
    @rule(data=st.data())
    def give_up_waiting(self, data: st.DataObject) -> None:
        self.world.leave(data.draw(st.sampled_from(sorted(self.world.waits))))

    @precondition(lambda self: self.world.alive)
    @rule(data=st.data(), measured_bytes=st.integers(0, 130))
    def worker_moves_on(self, data: st.DataObject, measured_bytes: int) -> None:
        variant_id = data.draw(st.sampled_from(sorted(self.world.alive)))
        if self.world.state(variant_id) == "loading":
            self.world.ready(variant_id, {RAM: measured_bytes} if self.measures_more else None)
        elif variant_id in self.world.stopping:
            self.world.gone(variant_id)
        else:
            self.world.healthy(variant_id)

    @precondition(lambda self: self.world.alive)
    @rule(data=st.data())
    def worker_is_about_to_end(self, data: st.DataObject) -> None:
        self.world.ending(data.draw(st.sampled_from(sorted(self.world.alive))))

    @precondition(lambda self: self.world.alive)
    @rule(data=st.data(), reason=st.sampled_from(["killed", "out_of_memory", "hung", "bad_file"]))
    def worker_dies(self, data: st.DataObject, reason: str) -> None:
        self.world.gone(data.draw(st.sampled_from(sorted(self.world.alive))), reason)

    @rule(seconds=st.floats(0.1, 40))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @invariant()
    def settled(self) -> None:
        """Nothing is left undone: the same state looked at again asks for nothing."""
        if hasattr(self, "world"):
            assert self.world.feed(events.Tick(self.world.now)) == []

    def teardown(self) -> None:
        """Now every worker loads, every answer ends, and time passes: nobody may be left waiting."""
        if not hasattr(self, "world"):
            return
        self.world.settle()
        assert self.world.scheduler.waiting() == []


class HistoryWithSurprises(History):
    """The same where workers measure less or more than was estimated, or more than there is."""

    measures_more = True


@pytest.mark.parametrize("history", [History, HistoryWithSurprises])
def test_every_history_keeps_the_promises(history: type[History]) -> None:
    history.TestCase.settings = examples(150, stateful_step_count=40)
    history.TestCase().runTest()
