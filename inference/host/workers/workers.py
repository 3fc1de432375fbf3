"""The workers that run, by launch number, and what becomes of them as events for the scheduler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from inference.core.loads.devices import RAM, BytesByDevice
from inference.core.loads.engine_devices import EngineDevices
from inference.core.monitoring.liveness import Limits
from inference.core.scheduling import events
from inference.core.scheduling.memory.residency import Failure
from inference.engine.protocol import Ready, WorkerReport
from inference.host.planning.load_record import LoadMeasured, measured_load
from inference.host.run_dir import RunDir
from inference.host.workers.memory_held import bytes_by_device, with_driver_readings
from inference.host.workers.prestarted_worker import PrestartedWorker
from inference.host.workers.worker import Worker

logger = logging.getLogger(__name__)

HEALTHY_STEP_AGE_SECONDS = 5.0
NOISE_BYTES = 16 << 20
"""A worker's memory is reckoned again when it has changed by more."""


class Workers(Mapping[int, Worker]):
    """Belongs to one event loop. `apply` takes each event at once; `record` each load's measurement; once the host `is_over`,
    nobody hears how a worker ends."""

    def __init__(
        self,
        *,
        prestarted: PrestartedWorker,
        engine_devices: EngineDevices,
        limits: Limits,
        run_dir: RunDir,
        log_dir: Path,
        apply: Callable[[events.Event], None],
        record: Callable[[LoadMeasured], None],
        in_background: Callable[[Awaitable[None]], None],
        is_over: Callable[[], bool],
    ) -> None:
        self._prestarted = prestarted
        self._engine_devices = engine_devices
        self._limits = limits
        self._run_dir = run_dir
        self._log_dir = log_dir
        self._apply = apply
        self._record = record
        self._in_background = in_background
        self._is_over = is_over
        self._workers: dict[int, Worker] = {}
        self._measured: dict[int, BytesByDevice] = {}
        """By launch: what the driver last told."""
        self._recorded: dict[int, BytesByDevice] = {}
        """By launch: what the next load is planned with."""

    def __getitem__(self, launch: int) -> Worker:
        return self._workers[launch]

    def __iter__(self) -> Iterator[int]:
        return iter(self._workers)

    def __len__(self) -> int:
        return len(self._workers)

    def start(self, start: events.StartWorker) -> None:
        facts = start.facts
        logger.info(
            "loading",
            extra={
                "event": "worker_start",
                "variant": facts.name,
                "reserved_bytes": start.reserved_bytes,
                "bytes_by_device": dict(start.bytes_by_device),
            },
        )
        worker = Worker(
            replace(facts, options=start.way.options),
            start.launch,
            prestarted=self._prestarted,
            engine_devices=self._engine_devices,
            socket_path=self._run_dir.worker_socket(facts.resident_id, start.launch),
            log_path=self._log_dir / f"worker-{facts.resident_id}.log",
            limits=self._limits,
            on_report=self._reported,
            on_ending=self._ending,
            on_end=self._ended,
        )
        self._workers[start.launch] = worker
        self._prestarted.put_off()
        self._in_background(self._live(worker))

    def stop(self, launch: int) -> None:
        worker = self._workers[launch]
        logger.info("unloading", extra={"event": "worker_stop", "variant": worker.facts.name})
        worker.stop()

    def kill_all(self) -> None:
        self._in_background(self._prestarted.dismiss())
        for worker in self._workers.values():
            worker.kill()

    def notice_exit(self, worker: Worker | None) -> None:
        """Sees to it that nobody more is sent to a worker whose process is ending."""
        if worker is not None and worker.launch in self._workers and worker.is_exiting():
            self._ending(worker)

    def note_processes(self, processes: Mapping[str, Mapping[int, int]]) -> None:
        """What processes hold of each device, by process id, as the driver tells."""
        for worker in list(self._workers.values()):
            ready, pid = worker.ready, worker.pid
            if ready is None or pid is None:
                continue
            told = {device: held[pid] for device, held in processes.items() if pid in held}
            measured = with_driver_readings(bytes_by_device(ready), told)
            if not self._is_news(worker.launch, measured):
                continue
            self._measured[worker.launch] = measured
            self._apply(events.WorkerMeasured(_now(), worker.facts.resident_id, worker.launch, measured))
            recorded = self._recorded.get(worker.launch, {})
            most = {**measured, **{device: n for device, n in recorded.items() if _keeps_highest(device, n, measured)}}
            if most != recorded:
                self._recorded[worker.launch] = most
                self._record(measured_load(worker.facts, ready, most))

    def _is_news(self, launch: int, measured: BytesByDevice) -> bool:
        known = self._measured.get(launch, {})
        return any(abs(n - known.get(device, 0)) > NOISE_BYTES for device, n in measured.items())

    async def _live(self, worker: Worker) -> None:
        try:
            await worker.run()
        except Exception as error:
            if self._is_over():
                return
            logger.exception("a worker could not be run", extra={"event": "worker_lost", "variant": worker.facts.name})
            worker.kill()
            self._ended(worker, Failure("crashed", f"The host lost the worker: {error}."))

    def _reported(self, worker: Worker, report: WorkerReport) -> None:
        now, resident_id, launch = _now(), worker.facts.resident_id, worker.launch
        if report["type"] == "loading":
            self._apply(events.WorkerLoading(now, resident_id, launch, report["fraction"]))
        elif report["type"] == "ready":
            self._ready(worker, report)
        elif report["type"] == "stats" and (report["step_age_seconds"] or 0.0) < HEALTHY_STEP_AGE_SECONDS:
            self._apply(events.WorkerHealthy(now, resident_id, launch))

    def _ready(self, worker: Worker, ready: Ready) -> None:
        buffers = bytes_by_device(ready)
        logger.info(
            "resident",
            extra={
                "event": "worker_ready",
                "variant": worker.facts.name,
                "measured_bytes": sum(buffers.values()),
                "load_seconds": ready["load_seconds"],
            },
        )
        self._apply(events.WorkerReady(_now(), worker.facts.resident_id, worker.launch, ready["n_seq_max"], buffers))
        self._record(measured_load(worker.facts, ready, {}))
        self._prestarted.prepare_soon()

    def _ending(self, worker: Worker) -> None:
        self._apply(events.WorkerEnding(_now(), worker.facts.resident_id, worker.launch))

    def _ended(self, worker: Worker, failure: Failure) -> None:
        del self._workers[worker.launch]
        self._measured.pop(worker.launch, None)
        self._recorded.pop(worker.launch, None)
        self._apply(events.WorkerEnded(_now(), worker.facts.resident_id, worker.launch, failure))
        if not self._workers:  # nor has its place been taken by another
            self._in_background(self._prestarted.dismiss())


def _keeps_highest(device: str, recorded_bytes: int, measured: BytesByDevice) -> bool:
    """Of a GPU the most counts: kernels take memory for themselves with the first long prompts, and keep it. In RAM conversations
    come and go: what the worker held before any is what the next one will."""
    return device == RAM or recorded_bytes >= measured.get(device, 0)


def _now() -> float:
    return asyncio.get_running_loop().time()
