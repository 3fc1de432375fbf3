"""Once a second: reads the machine, keeps ten minutes, tells the ledger what is foreign, and streams to whoever follows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.monitoring.alarms import Alarm, Alarms, DeviceLoad, RunningVariant
from inference.core.monitoring.history import History
from inference.core.scheduling.decisions import DecisionKind
from inference.core.scheduling.memory.ledger import Pool
from inference.host.api.messages import HostStatus, LoggedDecision, resident_id_of
from inference.host.api.telemetry import Backlog, DecidedCount, Delta, DeviceTelemetry
from inference.host.telemetry.sample import (
    RamReading,
    Reading,
    Settled,
    device_telemetry,
    figures,
    process_bytes,
    queue,
    shares,
    variant_telemetry,
)

logger = logging.getLogger(__name__)

SAMPLE_SECONDS = 1.0
SLOW_READING_SECONDS = 0.8
"""A driver that hangs holds up its own thread: the sample is then taken without knowing the devices."""
NOISE_SHARE = 1 / 1024
"""Of a device: smaller changes of foreign memory are not worth an event, and a box at rest should stay at rest."""
UNKNOWN = Reading(RamReading())


class Watched(Protocol):
    """What telemetry asks of the host; every method returns at once."""

    def status(self) -> HostStatus: ...

    def pools(self) -> Sequence[Pool]:
        """Every device, RAM included, in the order of the page."""

    def decisions(self) -> Sequence[LoggedDecision]:
        """The reason log, oldest first; numbers count up without gaps."""

    def bus_ids(self) -> Mapping[str, str]:
        """Of the cards in this machine, by `Pool.device`."""

    def ways(self, resident_id: ResidentId) -> Sequence[LoadWay]:
        """The ways to load a resident variant, best first; empty where they are not known."""


class MachineReader(Protocol):
    """inference.host.telemetry.readings.Machine, or a test's."""

    def read(self, pids: Iterable[int], bus_ids: Mapping[str, str]) -> Reading: ...

    def close(self) -> None: ...


class Telemetry:
    """Belongs to one event loop.

    `on_foreign` hears, by device, the bytes of programs that are not ours, when they changed by more than noise; `on_processes`
    with every sample what the driver tells of each process, by device and process id.
    """

    def __init__(
        self,
        host: Watched,
        machine: MachineReader,
        on_foreign: Callable[[Mapping[str, int]], None] = lambda foreign: None,
        on_processes: Callable[[Mapping[str, Mapping[int, int]]], None] = lambda processes: None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._host = host
        self._machine = machine
        self._on_foreign = on_foreign
        self._on_processes = on_processes
        self._wall_clock = wall_clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="telemetry")
        self._reading: asyncio.Future[Reading] | None = None
        self._history = History()
        self._settled = Settled()
        self._alarms = Alarms()
        self._told_foreign: dict[str, int] = {}
        self._decided: dict[tuple[DecisionKind, ResidentId | None], int] = {}
        self._called: dict[ResidentId, str] = {}
        """What each counted variant was called when it was last counted."""
        self._counted = 0
        """Number of the last decision that `_decided` counts."""
        self._number = 0
        self._latest: tuple[Delta, int] | None = None
        """The newest delta, less its decisions, and the number of the last decision at that time."""
        self._sampled = asyncio.Event()

    # life ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Samples until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while True:
                try:
                    await self.sample()
                except Exception:
                    # The pages would otherwise stand still for as long as the host lives.
                    logger.exception("a sample failed", extra={"event": "sample_failed"})
                due = max(due + SAMPLE_SECONDS, loop.time())
                await asyncio.sleep(due - loop.time())
        finally:
            # Not waited for: a driver that hangs must not keep the host from ending.
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def sample(self) -> None:
        """Takes one sample and passes it on."""
        status = self._host.status()
        pids = [each["pid"] for each in status["residents"] if each["pid"] is not None]
        self._take(await self._read(pids))

    async def _read(self, pids: list[int]) -> Reading:
        """What the machine says, or UNKNOWN where it takes too long; the late answer is then that of a later sample."""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().run_in_executor(
                self._thread, self._machine.read, pids, self._host.bus_ids()
            )
        with suppress(asyncio.TimeoutError):
            reading = await asyncio.wait_for(asyncio.shield(self._reading), SLOW_READING_SECONDS)
            self._reading = None
            return reading
        return UNKNOWN

    def _take(self, reading: Reading) -> None:
        # Asked again: the reading took a moment, and a worker may have become ready meanwhile.
        status = self._host.status()
        devices = [
            device_telemetry(pool, reading, status["residents"], self._settled.of(pool.device))
            for pool in self._host.pools()
        ]
        self._on_processes({each["device"]: process_bytes(each["device"], reading) for each in devices})
        self._tell_foreign(devices)
        alarms = self._watch(status, devices)
        now, row = self._wall_clock(), figures(devices, status)
        self._history.append(now, row)
        self._number += 1
        decisions = self._host.decisions()
        self._count(decisions)
        delta: Delta = {
            "type": "delta",
            "number": self._number,
            "at": round(now, 1),
            "pid": status["pid"],
            "uptime_seconds": status["uptime_seconds"],
            "devices": devices,
            "variants": [variant_telemetry(each, alarms.get(resident_id_of(each))) for each in status["residents"]],
            "queue": queue(status),
            "figures": row,
            "decisions": [],
        }
        self._latest = delta, decisions[-1]["number"] if decisions else 0
        self._sampled.set()
        self._sampled = asyncio.Event()

    # what others hear ---------------------------------------------------------------------------------------------

    def _tell_foreign(self, devices: Sequence[DeviceTelemetry]) -> None:
        foreign = self._settled.settle({each["device"]: each["foreign_bytes"] for each in devices})
        noise = {each["device"]: each["capacity_bytes"] * NOISE_SHARE for each in devices}
        if foreign.keys() != self._told_foreign.keys() or any(
            abs(n - self._told_foreign[device]) > noise[device] for device, n in foreign.items()
        ):
            self._told_foreign = foreign
            self._on_foreign(foreign)

    def _watch(self, status: HostStatus, devices: Sequence[DeviceTelemetry]) -> dict[ResidentId, Alarm]:
        """The alarms that stand, by resident."""
        standing = self._alarms.observe(
            (
                RunningVariant(
                    resident_id_of(each),
                    each["n_ctx_seq"],
                    each["slots_busy"],
                    each["tokens_per_second"],
                    {device: sum(kinds.values()) for device, kinds in shares(each).items()},
                    each["n_gpu_layers"],
                    ways := self._host.ways(resident_id_of(each)),
                    ways[0].decode_tokens_per_second if ways else None,
                )
                for each in status["residents"]
                if each["state"] in ("resident", "draining")
            ),
            (
                DeviceLoad(
                    each["device"],
                    each["capacity_bytes"],
                    each["used_bytes"],
                    each["utilisation_percent"],
                    each["bandwidth_percent"],
                    each["swap_in_bytes_per_second"],
                )
                for each in devices
            ),
        )
        return {alarm.resident_id: alarm for alarm in standing}

    def _count(self, decisions: Sequence[LoggedDecision]) -> None:
        """Keeps totals: the log itself forgets."""
        for each in decisions:
            if each["number"] > self._counted:
                key = each["decision"].kind, each["decision"].resident_id
                self._decided[key] = self._decided.get(key, 0) + 1
                self._called.update((resident_id_of(mention), mention["name"]) for mention in each["mentions"])
                self._counted = each["number"]

    async def follow(self) -> AsyncGenerator[Backlog | Delta, None]:
        """A Backlog, then each Delta. A follower that was busy for some seconds gets the newest; the gap shows in `number`."""
        while self._latest is None:
            await self._sampled.wait()
        latest, last = self._latest
        yield self._backlog(latest)
        while True:
            # Taken before the look: a sample between the two is not slept through.
            sampled = self._sampled
            if self._latest[0]["number"] == latest["number"]:
                await sampled.wait()
            seen, (latest, newest) = last, self._latest
            last = newest
            news = [each for each in self._host.decisions() if seen < each["number"] <= newest]
            yield {**latest, "decisions": news}

    def _backlog(self, latest: Delta) -> Backlog:
        return {
            "type": "backlog",
            "number": latest["number"],
            "pid": latest["pid"],
            "uptime_seconds": latest["uptime_seconds"],
            "devices": latest["devices"],
            "variants": latest["variants"],
            "queue": latest["queue"],
            "at": [round(each, 1) for each in self._history.at],
            "series": self._history.series,
            "decisions": list(self._host.decisions()),
            "decided": [
                DecidedCount(
                    kind=kind,
                    variant_id=None if resident_id is None else resident_id.variant_id,
                    purpose=None if resident_id is None else resident_id.purpose,
                    variant=None if resident_id is None else self._called.get(resident_id),
                    n=n,
                )
                for (kind, resident_id), n in self._decided.items()
            ],
        }
