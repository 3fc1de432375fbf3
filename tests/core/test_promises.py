"""The promises of the scheduler, each over its own histories: arrivals, finishes, crashes, foreign memory, budgets, pins."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling import events
from inference.core.scheduling.decisions import Drained, Evicted, WentIdle
from inference.core.scheduling.memory.residency import REVOCABLE
from inference.core.scheduling.reasons import InQueue
from tests.core.histories import SETUP_BYTES, Promise, play
from tests.properties import examples

STORIES = st.binary(min_size=SETUP_BYTES + 40, max_size=SETUP_BYTES + 120)
every_history = examples(720)


class KeepsWithinEveryDevice(Promise):
    def after(self, event: events.Event) -> None:
        ledger = self.world.scheduler.ledger
        for device, pool in ledger.pools.items():
            reserved = ledger.reserved(device)
            excess = reserved - min(pool.budget_bytes, pool.capacity_bytes - pool.reserve_bytes - pool.foreign_bytes)
            if excess > 0:
                # Not by us: others grew, the owner changed her mind, or a worker measured more.
                assert excess <= self.excess.get(device, 0) or not self.started.get(device)

    def before(self, event: events.Event) -> None:
        ledger = self.world.scheduler.ledger
        self.started: Counter[str] = Counter()
        self.excess = {device: -ledger.free(device) for device in ledger.pools}

    def on(self, effect: events.Effect) -> None:
        if isinstance(effect, events.StartWorker):
            for device, n_bytes in effect.bytes_by_device.items():
                self.started[device] += n_bytes
                assert n_bytes == 0 or self.world.scheduler.ledger.free(device) >= 0


class LoadsNothingWhileOthersOverdraw(Promise):
    def after(self, event: events.Event) -> None:
        scheduler = self.world.scheduler
        for device in scheduler.ledger.shortages:
            for residency in scheduler.residencies.values():
                if not residency.bytes_by_device.get(device) or residency.facts.pinned:
                    continue
                others_left = any(
                    each.state in ("draining", "unloading") and each.bytes_by_device.get(device)
                    for each in scheduler.residencies.values()
                )
                is_going = residency.state in ("draining", "unloading")
                assert is_going or others_left, "a device is overdrawn, and nobody leaves who could"

    def on(self, effect: events.Effect) -> None:
        if isinstance(effect, events.StartWorker):
            for device, n_bytes in effect.bytes_by_device.items():
                assert n_bytes == 0 or device not in self.world.scheduler.ledger.shortages


class HoldsWhatIsKnown(Promise):
    """What a worker holds: its buffers as it counted them, and beyond them what was expected until the driver has told."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.known: dict[int, dict[str, int]] = {}

    def on(self, effect: events.Effect) -> None:
        if isinstance(effect, events.StartWorker):
            self.known[effect.launch] = dict(effect.bytes_by_device)

    def before(self, event: events.Event) -> None:
        if not isinstance(event, events.WorkerReady | events.WorkerMeasured):
            return
        residency = self.world.scheduler.residencies[event.resident_id]
        assert residency.way is not None
        if isinstance(event, events.WorkerMeasured):
            told = dict(event.bytes_by_device)
        else:
            overheads = residency.way.overhead_by_device
            told = {device: n_bytes + overheads.get(device, 0) for device, n_bytes in event.buffers_by_device.items()}
        if event.launch == residency.launch and residency.state in ("loading", "resident", "draining"):
            self.known[event.launch] |= told

    def after(self, event: events.Event) -> None:
        if isinstance(event, events.WorkerEnded):
            self.known.pop(event.launch)
        for launch, known in self.known.items():
            assert self.world.scheduler.ledger.held(launch) == {device: n for device, n in known.items() if n}


class CutsNoAnswer(Promise):
    def before(self, event: events.Event) -> None:
        self.running = dict(self.world.leases)

    def on(self, effect: events.Effect) -> None:
        if isinstance(effect, events.StopWorker):
            assert effect.resident_id.variant_id not in self.world.leases.values(), (
                "told to go in the middle of an answer"
            )

    def after(self, event: events.Event) -> None:
        ended = {event.ticket} if isinstance(event, events.Left) else set()
        if not isinstance(event, events.WorkerEnded):
            assert self.running.keys() - self.world.leases.keys() <= ended


class NeverEvictsThePinned(Promise):
    def on(self, effect: events.Effect) -> None:
        if isinstance(effect, events.StopWorker):
            residency = self.world.scheduler.residencies[effect.resident_id]
            assert residency.departure is not None
            if residency.departure in REVOCABLE or residency.departure == "idle":
                assert not residency.facts.pinned
        if isinstance(effect, events.Decided) and isinstance(effect.decision, Evicted | Drained | WentIdle):
            assert not self.world.scheduler.residencies[effect.decision.resident_id].facts.pinned


class OneTurnAtMost(Promise):
    """Per (variant, user who waits): whom the slots of the variant went to since."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.passed: dict[tuple[ResidentId, str], Counter[str]] = {}
        self.requests: dict[int, events.LeaseAsked] = {}

    def before(self, event: events.Event) -> None:
        if isinstance(event, events.LeaseAsked):
            self.requests[event.ticket] = event
        if isinstance(event, events.Left):
            self.requests.pop(event.ticket, None)

    def after(self, event: events.Event) -> None:
        waiting = {
            (request.resident_id, request.user)
            for request, _, _ in self.world.scheduler.waiting()
            if request.wants == "lease" and request.kind == "interactive"
        }
        self.passed = {key: self.passed.get(key, Counter()) for key in waiting}

    def on(self, effect: events.Effect) -> None:
        if not isinstance(effect, events.Grant):
            return
        granted = self.requests[effect.ticket]
        # Whoever is served anywhere has had a turn.
        self.passed = {key: counts for key, counts in self.passed.items() if key[1] != granted.user}
        for (resident_id, _), counts in self.passed.items():
            if resident_id == effect.resident_id:
                counts[granted.user] += 1
                assert counts[granted.user] <= 1, "passed twice by the same person"


class InteractiveBeforeBatch(Promise):
    def before(self, event: events.Event) -> None:
        self.now = event.now
        self.waiting = {request.ticket: request for request, _, _ in self.world.scheduler.waiting()}
        if isinstance(event, events.LeaseAsked):
            self.asked = event

    def on(self, effect: events.Effect) -> None:
        if not isinstance(effect, events.Grant):
            return
        granted = self.waiting.pop(effect.ticket, None)
        if granted is None or granted.kind != "batch" or granted.is_overdue(self.now, 30.0):
            return
        assert not any(
            each.kind == "interactive" and each.wants == "lease" and each.resident_id == effect.resident_id
            for each in self.waiting.values()
        )


class NobodyIsStarved(Promise):
    """Whoever is overdue and first in line waits for what is bounded: a stay of at most `max_wait_seconds`, an answer that runs
    already, a load or an unload under way, or memory that other programs hold. test_bound adds these up."""

    def after(self, event: events.Event) -> None:
        scheduler, now = self.world.scheduler, event.now
        homes = scheduler.residencies
        absent = [
            (request, wait)
            for request, _, wait in scheduler.waiting()
            if homes[request.resident_id].state not in ("resident", "loading")
        ]
        if any(request.anyway for request, _ in absent):
            return
        patience = scheduler.max_wait_seconds
        line = [each for each in absent if each[0].is_overdue(now, patience)]
        if not line:
            return
        first, wait = min(
            line, key=lambda each: (max(each[0].arrived_at, homes[each[0].resident_id].gave_way_at), each[0].ticket)
        )
        if not isinstance(wait, InQueue):
            return
        assert wait.reason.kind in ("room", "leaving", "foreign")
        if wait.reason.kind == "room":
            arrived_at = min(each.arrived_at for each, _ in absent if each.resident_id == first.resident_id)
            stays = [homes[number] for number in wait.reason.variants if homes[number].state != "draining"]
            assert not stays or any(
                each.ready_at is None or now < max(arrived_at, each.ready_at) + patience for each in stays
            ), "it waits for residents that have had their time and take more people"


class EveryWaitIsExplained(Promise):
    def after(self, event: events.Event) -> None:
        lines: dict[Any, list[int]] = {}
        for request, position, wait in self.world.scheduler.waiting():
            assert position >= 1
            if request.wants == "lease":
                assert self.world.waits[request.ticket] == wait, "told something else"
            if isinstance(wait, InQueue):
                assert wait.position >= 1
                assert wait.reason.variants or wait.reason.device
                assert request.ticket not in self.world.leases
            state = self.world.state(request.resident_id.variant_id)
            line = request.resident_id if state in ("loading", "resident") else "to be loaded"
            if request.wants == "lease":
                lines.setdefault(line, []).append(position)
        for line, positions in lines.items():
            assert len(set(positions)) == len(positions) or line != "to be loaded", "two people in one place"


class VanishedClientsLeaveAtOnce(Promise):
    def after(self, event: events.Event) -> None:
        if isinstance(event, events.Left):
            scheduler = self.world.scheduler
            assert event.ticket not in {request.ticket for request, _, _ in scheduler.waiting()}
            assert all(event.ticket not in each.leases for each in scheduler.residencies.values())
            self.left.add(event.ticket)

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.left: set[int] = set()

    def on(self, effect: events.Effect) -> None:
        if isinstance(effect, events.Grant | events.Notify | events.Refuse | events.Complete):
            assert effect.ticket not in self.left, "served after it left"


class NoTicketIsLost(Promise):
    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.open: set[int] = set()
        self.ended: Counter[int] = Counter()

    def before(self, event: events.Event) -> None:
        if isinstance(event, events.LeaseAsked | events.LoadAsked | events.UnloadAsked):
            self.open.add(event.ticket)
        if isinstance(event, events.Left):
            self.open.discard(event.ticket)

    def on(self, effect: events.Effect) -> None:
        if isinstance(effect, events.Grant | events.Refuse | events.Complete):
            self.ended[effect.ticket] += 1
            assert self.ended[effect.ticket] == 1, "answered twice"
            self.open.discard(effect.ticket)

    def end(self) -> None:
        assert self.open == set(), "never answered"


class NobodyLeavesForNothing(Promise):
    """A request that comes while nobody waits, and evicts: with any one of those that leave still there, it doesn't fit."""

    def before(self, event: events.Event) -> None:
        scheduler = self.world.scheduler
        self.watched: ResidentId | None = None
        is_quiet = not scheduler.waiting() and not self.world.stopping and not scheduler.ledger.shortages
        if is_quiet and isinstance(event, events.LeaseAsked | events.LoadAsked):
            self.watched = event.facts.resident_id
            self.held = {each.resident_id: dict(each.bytes_by_device) for each in scheduler.residencies.values()}
            self.found = scheduler.preview(event.facts, event.now)

    def after(self, event: events.Event) -> None:
        room = [each.resident_id for each in self.world.scheduler.residencies.values() if each.departure == "room"]
        if self.watched is None or not room or self.found.way is None:
            return
        pools = self.world.scheduler.ledger.pools
        for spared in room:
            staying = [held for number, held in self.held.items() if number not in room or number == spared]
            assert any(
                n_bytes and n_bytes + sum(held.get(device, 0) for held in staying) > pools[device].spendable_bytes
                for device, n_bytes in self.found.way.bytes_by_device.items()
            ), "somebody left for nothing"


class PreviewsComeTrue(Promise):
    def before(self, event: events.Event) -> None:
        self.found = None
        if isinstance(event, events.LoadAsked):
            self.found = self.world.scheduler.preview(event.facts, event.now, event.anyway)

    def after(self, event: events.Event) -> None:
        if not isinstance(event, events.LoadAsked) or self.found is None:
            return
        residency = self.world.scheduler.residencies[event.facts.resident_id]
        match self.found.outcome:
            case "cannot":
                assert event.ticket in self.world.refused
            case "fits":
                assert residency.state == "loading"
                assert residency.way == self.found.way
            case "resident":
                assert event.ticket in self.world.completed or residency.is_ending
            case "evicts":
                for leaver in self.found.evicts:
                    left = self.world.scheduler.residencies[leaver.resident_id]
                    assert left.state in ("unloading", "absent")


class LooksTwiceAndSeesTheSame(Promise):
    """Nothing is left undone: the same moment looked at again asks for nothing."""

    def after(self, event: events.Event) -> None:
        assert self.world.scheduler.handle(events.Tick(event.now)) == []


@every_history
@given(STORIES)
def test_no_load_takes_a_device_beyond_its_budget_or_its_capacity(story: bytes) -> None:
    play(story, KeepsWithinEveryDevice)


@every_history
@given(STORIES)
def test_while_a_device_is_overdrawn_nothing_is_loaded_there_and_somebody_leaves(story: bytes) -> None:
    play(story, LoadsNothingWhileOthersOverdraw)


@every_history
@given(STORIES)
def test_the_ledger_holds_what_is_known_of_every_worker(story: bytes) -> None:
    play(story, HoldsWhatIsKnown)


@every_history
@given(STORIES)
def test_a_running_answer_is_never_cut_by_a_swap(story: bytes) -> None:
    play(story, CutsNoAnswer)


@every_history
@given(STORIES)
def test_a_pinned_variant_is_never_evicted(story: bytes) -> None:
    play(story, NeverEvictsThePinned)


@every_history
@given(STORIES)
def test_nobody_is_passed_twice_by_the_same_person(story: bytes) -> None:
    play(story, OneTurnAtMost)


@every_history
@given(STORIES)
def test_interactive_goes_before_batch(story: bytes) -> None:
    play(story, InteractiveBeforeBatch)


@every_history
@given(STORIES)
def test_whoever_is_first_and_overdue_waits_for_what_is_bounded(story: bytes) -> None:
    play(story, NobodyIsStarved)


@every_history
@given(STORIES)
def test_every_wait_has_a_position_and_a_reason(story: bytes) -> None:
    play(story, EveryWaitIsExplained)


@every_history
@given(STORIES)
def test_a_vanished_client_leaves_at_once(story: bytes) -> None:
    play(story, VanishedClientsLeaveAtOnce)


@every_history
@given(STORIES)
def test_each_ticket_is_answered_exactly_once(story: bytes) -> None:
    play(story, NoTicketIsLost)


@every_history
@given(STORIES)
def test_nobody_leaves_for_nothing(story: bytes) -> None:
    play(story, NobodyLeavesForNothing)


@every_history
@given(STORIES)
def test_a_preview_comes_true(story: bytes) -> None:
    play(story, PreviewsComeTrue)


@every_history
@given(STORIES)
def test_the_same_moment_looked_at_twice_asks_for_nothing_more(story: bytes) -> None:
    play(story, LooksTwiceAndSeesTheSame)
