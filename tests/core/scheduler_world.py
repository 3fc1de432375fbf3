"""A recording fake around the scheduler: it obeys every effect, and checks the promises after each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from inference.core.loads.devices import RAM
from inference.core.loads.options import LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.vocabulary import LeaseKind
from inference.core.loads.ways import LoadWay
from inference.core.scheduling import events, reasons
from inference.core.scheduling.decisions import Decision
from inference.core.scheduling.memory.ledger import Pool
from inference.core.scheduling.memory.residency import Failure, Residency, VariantFacts
from inference.core.scheduling.refusals import Refusal
from inference.core.scheduling.scheduler import Scheduler


def variant(variant_id: int, size_bytes: int = 40, n_seq_max: int = 1, **facts: Any) -> VariantFacts:
    return VariantFacts(
        ResidentId(variant_id),
        f"v{variant_id}",
        f"/v{variant_id}.gguf",
        size_bytes,
        kv_bytes_per_token=0,
        options=LoadOptions(n_ctx_seq=64, n_seq_max=n_seq_max),
        **facts,
    )


def way(score: float, n_gpu_layers: int = 0, **bytes_by_device: int) -> LoadWay:
    """One way of a ladder; `n_gpu_layers` tells the ways of one variant apart."""
    options = LoadOptions(n_ctx_seq=64, n_seq_max=1, n_gpu_layers=n_gpu_layers)
    return LoadWay(options, bytes_by_device, score=score)


def ram(budget_bytes: int = 100, foreign_bytes: int = 0, capacity_bytes: int = 1000) -> Pool:
    return Pool(RAM, "RAM", capacity_bytes, budget_bytes, foreign_bytes=foreign_bytes)


def gpu(number: int, budget_bytes: int = 100, foreign_bytes: int = 0, capacity_bytes: int = 110) -> Pool:
    return Pool(f"gpu{number}", f"card {number}", capacity_bytes, budget_bytes, 10, foreign_bytes)


class World:
    """Workers start and end only when a test says so; time passes only by `wait`. Each variant has one, for chats: all here go by the row's id."""

    def __init__(self, *pools: Pool, budget_bytes: int = 100, max_wait_seconds: float = 30.0) -> None:
        """With no pools, RAM with `budget_bytes`."""
        self.scheduler = Scheduler(pools or (ram(budget_bytes),), max_wait_seconds)
        self.now = 0.0
        self.facts: dict[int, VariantFacts] = {}
        self.alive: dict[int, int] = {}
        """variant id → launch"""
        self.stopping: set[int] = set()
        self.starts: list[int] = []
        self.grants: list[int] = []
        """Tickets in the order served."""
        self.leases: dict[int, int] = {}
        """ticket → variant id, while it runs"""
        self.waits: dict[int, reasons.Wait] = {}
        self.refused: dict[int, Refusal] = {}
        self.completed: list[int] = []
        self.decided: list[Decision] = []
        self.closing = False
        self._tickets = 0

    # acting -------------------------------------------------------------------------------------------------------

    def feed(self, event: events.Event) -> list[events.Effect]:
        if isinstance(event, events.ShutdownAsked):
            self.closing = True
        effects = self.scheduler.handle(event)
        for effect in effects:
            self._obey(effect)
        self._check()
        return effects

    def shelve(self, facts: VariantFacts) -> int:
        variant_id = facts.resident_id.variant_id
        self.facts[variant_id] = facts
        return variant_id

    def ask(self, variant_id: int, user: str = "ann", kind: LeaseKind = "interactive") -> int:
        self._tickets += 1
        self.feed(events.LeaseAsked(self.now, self._tickets, self.facts[variant_id], user, kind))
        return self._tickets

    def load(self, variant_id: int, anyway: bool = False) -> int:
        self._tickets += 1
        self.feed(events.LoadAsked(self.now, self._tickets, self.facts[variant_id], anyway))
        return self._tickets

    def pools(self, *pools: Pool) -> None:
        self.feed(events.PoolsChanged(self.now, pools))

    def unload(self, variant_id: int) -> int:
        self._tickets += 1
        self.feed(events.UnloadAsked(self.now, self._tickets, ResidentId(variant_id)))
        return self._tickets

    def pin(self, variant_id: int, pinned: bool = True) -> None:
        self.facts[variant_id] = replace(self.facts[variant_id], pinned=pinned)
        self.feed(events.FactsRead(self.now, self.facts[variant_id]))

    def leave(self, ticket: int) -> None:
        self.leases.pop(ticket, None)
        self.waits.pop(ticket, None)
        self.feed(events.Left(self.now, ticket))

    def progress(self, variant_id: int, fraction: float) -> None:
        self.feed(events.WorkerLoading(self.now, ResidentId(variant_id), self.alive[variant_id], fraction))

    def ready(self, variant_id: int, buffers: Mapping[str, int] | None = None) -> None:
        """`buffers` by device; None: the worker cannot tell."""
        n_seq_max = self.facts[variant_id].options.n_seq_max
        self.feed(
            events.WorkerReady(self.now, ResidentId(variant_id), self.alive[variant_id], n_seq_max, buffers or {})
        )

    def measured(self, variant_id: int, **bytes_by_device: int) -> None:
        """The driver tells."""
        self.feed(events.WorkerMeasured(self.now, ResidentId(variant_id), self.alive[variant_id], bytes_by_device))

    def healthy(self, variant_id: int) -> None:
        self.feed(events.WorkerHealthy(self.now, ResidentId(variant_id), self.alive[variant_id]))

    def ending(self, variant_id: int) -> None:
        self.feed(events.WorkerEnding(self.now, ResidentId(variant_id), self.alive[variant_id]))

    def gone(self, variant_id: int, reason: Any = "crashed") -> None:
        """The worker's process has ended: because it was told to, or of `reason`."""
        launch = self.alive.pop(variant_id)
        self.stopping.discard(variant_id)
        self.leases = {ticket: leased for ticket, leased in self.leases.items() if leased != variant_id}
        self.feed(events.WorkerEnded(self.now, ResidentId(variant_id), launch, Failure(reason, "It ended.")))

    def settle(self) -> None:
        """Every worker loads or goes as it should, every answer ends, and time passes, until nobody waits any more."""
        for _ in range(500):
            for variant_id in sorted(self.alive):
                if variant_id in self.stopping or self.residency(variant_id).is_ending:
                    self.gone(variant_id)
                elif self.state(variant_id) == "loading":
                    self.ready(variant_id)
            for ticket in sorted(self.leases):
                self.leave(ticket)
            if not self.scheduler.waiting() and not self.stopping:
                return
            self.wait(1.0)
        raise AssertionError(f"still waiting: {self.scheduler.waiting()}")

    def wait(self, seconds: float) -> None:
        """Lets time pass, with a Tick at every deadline on the way and none besides."""
        until = self.now + seconds
        while (deadline := self.scheduler.next_deadline()) is not None and deadline <= until:
            assert deadline > self.now, "a deadline that has passed would spin"
            self.now = deadline
            self.feed(events.Tick(self.now))
        self.now = until

    # reading ------------------------------------------------------------------------------------------------------

    def state(self, variant_id: int) -> str:
        residency = self.scheduler.residencies.get(ResidentId(variant_id))
        return residency.state if residency else "absent"

    def residency(self, variant_id: int) -> Residency:
        """Raises KeyError for one that the scheduler never heard of."""
        return self.scheduler.residencies[ResidentId(variant_id)]

    def reason(self, ticket: int) -> str:
        wait = self.waits[ticket]
        assert isinstance(wait, reasons.InQueue)
        return wait.reason.kind

    def way_of(self, variant_id: int) -> int | None:
        """Of a loaded variant, the `n_gpu_layers` of its way."""
        taken = self.residency(variant_id).way
        assert taken is not None
        return taken.options.n_gpu_layers

    def kinds(self) -> list[tuple[str, int | None]]:
        """(kind, variant id) of all that was decided."""
        return [(each.kind, None if each.resident_id is None else each.resident_id.variant_id) for each in self.decided]

    def position(self, ticket: int) -> int:
        wait = self.waits[ticket]
        assert isinstance(wait, reasons.InQueue)
        return wait.position

    def resident(self, *variant_ids: int) -> None:
        """Loads these, one after the other, a second apart."""
        for variant_id in variant_ids:
            self.load(variant_id)
            self.ready(variant_id)
            self.now += 1.0

    # obeying ------------------------------------------------------------------------------------------------------

    def _obey(self, effect: events.Effect) -> None:
        match effect:
            case events.StartWorker(launch=launch, facts=facts):
                variant_id = facts.resident_id.variant_id
                assert variant_id not in self.alive, "a second worker for one variant"
                self._check_start(effect)
                self.alive[variant_id] = launch
                self.starts.append(variant_id)
            case events.StopWorker(resident_id=ResidentId(variant_id=variant_id), launch=launch):
                assert self.alive[variant_id] == launch
                assert variant_id not in self.stopping, "told to go twice"
                running = [ticket for ticket, leased in self.leases.items() if leased == variant_id]
                assert not running or self.closing, "a running answer was cut"
                self.stopping.add(variant_id)
            case events.Grant(ticket=ticket, resident_id=ResidentId(variant_id=variant_id), launch=launch):
                assert self.alive[variant_id] == launch
                assert variant_id not in self.stopping
                self.waits.pop(ticket, None)
                self.leases[ticket] = variant_id
                self.grants.append(ticket)
            case events.Notify(ticket=ticket, wait=wait):
                assert self.waits.get(ticket) != wait, "told the same twice"
                self.waits[ticket] = wait
            case events.Refuse(ticket=ticket, refusal=refusal):
                self.waits.pop(ticket, None)
                self.refused[ticket] = refusal
            case events.Complete(ticket=ticket):
                assert ticket not in self.completed, "completed twice"
                self.completed.append(ticket)
            case events.Decided(decision=decision):
                self.decided.append(decision)

    def _check_start(self, start: events.StartWorker) -> None:
        ledger = self.scheduler.ledger
        for device, n_bytes in start.bytes_by_device.items():
            assert n_bytes == 0 or ledger.free(device) >= 0, "a load exceeds what the device may hold"

    def _check(self) -> None:
        scheduler = self.scheduler
        held = [each.bytes_by_device for each in scheduler.residencies.values()]
        for device in scheduler.ledger.pools:
            assert scheduler.ledger.reserved(device) == sum(each.get(device, 0) for each in held)
        for residency in scheduler.residencies.values():
            assert len(residency.leases) <= max(residency.n_seq_max, 0)
            assert residency.holds_bytes == (residency.resident_id.variant_id in self.alive)
            assert residency.holds_bytes or residency.reserved_bytes == 0
        waiting = {request.ticket: position for request, position, _ in scheduler.waiting()}
        assert {ticket for ticket in waiting if ticket in self.leases} == set()
        assert all(position >= 1 for position in waiting.values())
        if not self.closing:
            silent = {each.ticket for each, _, _ in scheduler.waiting() if each.wants == "lease"} - self.waits.keys()
            assert silent == set(), "somebody waits and was not told why"
