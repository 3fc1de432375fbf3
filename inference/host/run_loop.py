"""The host: feeds the scheduler with what happens and does what it decides. The only writer of residency."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inference.core.loads.engine_devices import EngineDevices
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.vocabulary import LeaseKind
from inference.core.loads.ways import LoadWay
from inference.core.monitoring.liveness import Limits
from inference.core.scheduling import events
from inference.core.scheduling.memory.ledger import Pool
from inference.core.scheduling.memory.residency import VariantFacts
from inference.core.scheduling.preview import Preview
from inference.core.scheduling.scheduler import Scheduler
from inference.host.api.messages import HostStatus, LoggedDecision
from inference.host.callers import Callers
from inference.host.connection import Connection
from inference.host.decisions import DecisionLog
from inference.host.planning.load_record import LoadMeasured
from inference.host.planning.variant_source import (
    BadOptions,
    DisabledVariant,
    Inventory,
    InventoryUnavailable,
    UnknownVariant,
    UnusableFile,
)
from inference.host.run_dir import RunDir
from inference.host.status import host_status
from inference.host.workers.prestarted_worker import PrestartedWorker
from inference.host.workers.worker import WORKER_ARGV
from inference.host.workers.workers import Workers

logger = logging.getLogger(__name__)

USED_INTERVAL_SECONDS = 60.0
"""`last_used_at` is written at most this often per variant."""


@dataclass(frozen=True, slots=True)
class HostOptions:
    pools: tuple[Pool, ...]
    log_dir: Path
    max_wait_seconds: float = 30.0
    drain_seconds: float = 10.0
    reread_seconds: float = 1.0
    """A resident variant's row is read again behind a lease, but not more often than this."""
    limits: Limits = field(default_factory=Limits)
    worker_argv: tuple[str, ...] = WORKER_ARGV
    prestart_after_seconds: float = 1.0
    """After a load, until the process for the next one is started."""
    engine_devices: EngineDevices = field(default_factory=EngineDevices)
    """What workers may load on."""


class Host:
    """Every method but `run`, `pin` and the readers of facts returns at once. Belongs to one event loop."""

    def __init__(self, options: HostOptions, inventory: Inventory, run_dir: RunDir) -> None:
        self._options = options
        self._inventory = inventory
        self._scheduler = Scheduler(options.pools, options.max_wait_seconds)
        self._pools = options.pools
        self._decisions = DecisionLog(self._name)
        self._started_at = self._now()
        self._facts: dict[ResidentId, VariantFacts] = {}
        self._read_at: dict[ResidentId, float] = {}
        self._callers = Callers()
        self._timer: asyncio.TimerHandle | None = None
        self._watchers: set[asyncio.Event] = set()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._reading: set[ResidentId] = set()
        self._used_at: dict[int, float] = {}
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._workers = Workers(
            prestarted=PrestartedWorker(options.worker_argv, options.prestart_after_seconds),
            engine_devices=options.engine_devices,
            limits=options.limits,
            run_dir=run_dir,
            log_dir=options.log_dir,
            apply=self._apply,
            record=lambda load: self._in_background(self._record(load)),
            in_background=self._in_background,
            is_over=self._closed.done,
        )

    # life ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Returns after `shutdown`, when the last worker has ended. Raises whatever broke the run loop."""
        try:
            await self._closed
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._workers.kill_all()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def shutdown(self, drain_seconds: float | None = None) -> None:
        """Refuses what waits, lets running answers finish for `drain_seconds`, then ends the workers."""
        seconds = self._options.drain_seconds if drain_seconds is None else drain_seconds
        logger.info("shutting down", extra={"event": "shutdown", "drain_seconds": seconds})
        self._apply(events.ShutdownAsked(self._now(), seconds))

    # what callers ask ---------------------------------------------------------------------------------------------

    async def facts_for_lease(self, resident_id: ResidentId) -> VariantFacts:
        """The variant's facts for one more lease. Raises UnknownVariant, DisabledVariant, UnusableFile, BadOptions, InventoryUnavailable.

        A resident variant is leased by the facts last read, and its row is read again behind the lease, once a second at
        most: an answer never waits for the database, and a change takes effect within a second and one request. Anything
        else is read first, because a load takes far longer than the read.
        """
        residency = self._scheduler.residencies.get(resident_id)
        known = self._facts.get(resident_id)
        if known is None or residency is None or residency.state != "resident":
            return await self.read_facts(resident_id)
        if (
            resident_id not in self._reading
            and self._now() >= self._read_at[resident_id] + self._options.reread_seconds
        ):
            self._reading.add(resident_id)
            self._in_background(self._read_again(resident_id))
        return known

    async def read_facts(self, resident_id: ResidentId) -> VariantFacts:
        """The variant's facts as they are now. Raises as facts_for_lease."""
        try:
            facts = await self._inventory.facts(resident_id)
        except (UnknownVariant, DisabledVariant, UnusableFile, BadOptions):
            self._facts.pop(resident_id, None)
            raise
        self._facts[resident_id] = facts
        self._read_at[resident_id] = self._now()
        return facts

    async def _read_again(self, resident_id: ResidentId) -> None:
        try:
            facts = await self.read_facts(resident_id)
            self._apply(events.FactsRead(self._now(), facts))
        except (UnknownVariant, DisabledVariant, UnusableFile, BadOptions, InventoryUnavailable) as error:
            logger.warning(
                "could not read a variant again",
                extra={"event": "facts_unread", "resident": str(resident_id), "error": str(error)},
            )
        finally:
            self._reading.discard(resident_id)

    def knows(self, resident_id: ResidentId) -> bool:
        return resident_id in self._scheduler.residencies

    def lease(self, connection: Connection, facts: VariantFacts, user: str, kind: LeaseKind, request_id: str) -> int:
        ticket = self._callers.enter(connection, request_id)
        residency = self._scheduler.residencies.get(facts.resident_id)
        if residency is not None:
            self._workers.notice_exit(self._workers.get(residency.launch))
        self._apply(events.LeaseAsked(self._now(), ticket, facts, user, kind, request_id))
        return ticket

    def load(self, connection: Connection, facts: VariantFacts, anyway: bool = False) -> int:
        ticket = self._callers.enter(connection)
        self._apply(events.LoadAsked(self._now(), ticket, facts, anyway))
        return ticket

    async def preview(self, variant_id: int, anyway: bool = False) -> Preview:
        """What `load` would do now. Raises UnknownVariant, DisabledVariant, UnusableFile, BadOptions, InventoryUnavailable."""
        facts = await self.read_facts(ResidentId(variant_id))
        return self._scheduler.preview(facts, self._now(), anyway)

    async def read_pools(self) -> None:
        """Takes over the budgets and reserves that the owner has set meanwhile. Raises InventoryUnavailable."""
        pools = await self._inventory.pools()
        foreign = {each.device: each.foreign_bytes for each in self._pools}
        self.set_pools(replace(each, foreign_bytes=foreign.get(each.device, 0)) for each in pools)

    def set_foreign(self, bytes_by_device: Mapping[str, int]) -> None:
        """What programs that are not ours use of each device; one that is not named keeps what it had."""
        self.set_pools(
            replace(each, foreign_bytes=bytes_by_device.get(each.device, each.foreign_bytes)) for each in self._pools
        )

    def note_processes(self, processes: Mapping[str, Mapping[int, int]]) -> None:
        """What processes hold of each device, by process id, as the driver tells."""
        self._workers.note_processes(processes)

    def set_pools(self, pools: Iterable[Pool]) -> None:
        """`pools` are all there are now."""
        pools = tuple(pools)
        if pools != self._pools:
            self._pools = pools
            self._apply(events.PoolsChanged(self._now(), pools))

    def unload(self, connection: Connection, resident_id: ResidentId) -> int:
        ticket = self._callers.enter(connection)
        self._apply(events.UnloadAsked(self._now(), ticket, resident_id))
        return ticket

    async def pin(self, variant_id: int, pinned: bool) -> None:
        """Raises UnknownVariant, DisabledVariant, UnusableFile, BadOptions, InventoryUnavailable."""
        await self._inventory.set_pinned(variant_id, pinned)
        # What cannot be loaded may be pinned, or freed of it, all the same.
        with suppress(UnusableFile):
            self._apply(events.FactsRead(self._now(), await self.read_facts(ResidentId(variant_id))))

    def left(self, ticket: int) -> None:
        """The caller's connection closed."""
        # The caller may leave because its worker crashed: the slot must not go to the next in line.
        self._workers.notice_exit(self._callers.leave(ticket))
        self._apply(events.Left(self._now(), ticket))

    def status(self) -> HostStatus:
        return host_status(self._scheduler, self._workers, self._name, self._started_at, self._now())

    def decisions(self) -> list[LoggedDecision]:
        """The last decisions with their reasons, newest last."""
        return self._decisions.latest()

    def pools(self) -> Sequence[Pool]:
        """Every device, RAM first, with what other programs use of it."""
        return tuple(each for each in self._pools if each.kind == "memory")

    def bus_ids(self) -> Mapping[str, str]:
        """Where on the PCI bus the cards in this machine are, by `Pool.device`."""
        return dict(self._options.engine_devices.bus_ids)

    def ways(self, resident_id: ResidentId) -> Sequence[LoadWay]:
        """The ways to load a variant that isn't absent, best score first; empty for one that the host doesn't know."""
        residency = self._scheduler.residencies.get(resident_id)
        return residency.ways if residency else ()

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[asyncio.Event]:
        """An event that is set after every change, for as long as the block lasts."""
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            yield changed
        finally:
            self._watchers.discard(changed)

    # events in, effects out ---------------------------------------------------------------------------------------

    def _apply(self, event: events.Event) -> None:
        try:
            for effect in self._scheduler.handle(event):
                self._do(effect)
        except Exception as error:
            # A half-applied event leaves no state worth keeping: end, and be started again.
            if not self._closed.done():
                self._closed.set_exception(error)
            raise
        self._arm()
        for changed in self._watchers:
            changed.set()
        if self._scheduler.is_closed and not self._closed.done():
            self._closed.set_result(None)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._scheduler.next_deadline()
        if deadline is not None:
            # The loop may wake a hair early; the scheduler is told the time that it asked for.
            self._timer = asyncio.get_running_loop().call_at(
                deadline, lambda: self._apply(events.Tick(max(deadline, self._now())))
            )

    def _do(self, effect: events.Effect) -> None:
        match effect:
            case events.StartWorker():
                self._workers.start(effect)
            case events.StopWorker(launch=launch):
                self._workers.stop(launch)
            case events.Grant(ticket=ticket, resident_id=resident_id, launch=launch):
                self._callers.grant(ticket, self._workers[launch])
                self._used(resident_id.variant_id)
            case events.Notify(ticket=ticket, wait=wait):
                self._callers.notify(ticket, wait)
            case events.Refuse():
                self._callers.refuse(effect)
            case events.Complete(ticket=ticket):
                self._callers.complete(ticket)
            case events.Decided():
                self._decisions.add(effect)

    # what the inventory is told -----------------------------------------------------------------------------------

    def _used(self, variant_id: int) -> None:
        now = self._now()
        if now - self._used_at.get(variant_id, float("-inf")) >= USED_INTERVAL_SECONDS:
            self._used_at[variant_id] = now
            self._in_background(self._note_use(variant_id))

    async def _note_use(self, variant_id: int) -> None:
        try:
            await self._inventory.used(variant_id)
        except InventoryUnavailable as error:
            logger.warning("could not note a use", extra={"event": "use_unnoted", "error": str(error)})

    async def _record(self, load: LoadMeasured) -> None:
        """What a reading worker took would be taken for what the variant takes: it is remembered for as long as the host lives."""
        if load.options.purpose != "chat":
            return
        try:
            await self._inventory.record(load)
        except InventoryUnavailable as error:
            logger.warning("could not record a load", extra={"event": "load_unrecorded", "error": str(error)})

    # odds and ends ------------------------------------------------------------------------------------------------

    def _in_background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _name(self, resident_id: ResidentId) -> str:
        residency = self._scheduler.residencies.get(resident_id)
        return residency.facts.name if residency else f"model {resident_id}"

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
