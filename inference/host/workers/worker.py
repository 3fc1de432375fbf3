"""One worker process: started, listened to, watched, and ended."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

from inference.core.loads.engine_devices import EngineDevices
from inference.core.monitoring.liveness import Limits, Liveness
from inference.core.scheduling.memory.residency import Failure, VariantFacts
from inference.engine import private_folder, protocol
from inference.host.shape import BadShape, check
from inference.host.workers.exits import failure_of, oom_kills
from inference.host.workers.log import WorkerLog
from inference.host.workers.pipes import LONGEST_REPORT_BYTES
from inference.host.workers.prestarted_worker import PrestartedWorker

logger = logging.getLogger(__name__)

WORKER_ARGV = (sys.executable, "-m", "inference.engine.worker")
STOP_SECONDS = 5.0
"""What a worker gets between the end of its standard input and SIGKILL."""
_PF_EXITING = 0x4
"""include/linux/sched.h"""
_OOM_SCORE_ADJ = "500"

_SCHEMAS: dict[str, type] = {
    "loading": protocol.Loading,
    "ready": protocol.Ready,
    "stats": protocol.Stats,
    "failed": protocol.WorkerFailed,
}


class Worker:
    """A worker's life, from spawn to exit. `run` returns when the process is gone.

    `on_report` hears each valid report, `on_ending` that no more will come, `on_end` the failure that the exit would mean for a worker that was not told to go.
    """

    def __init__(
        self,
        facts: VariantFacts,
        launch: int,
        *,
        prestarted: PrestartedWorker,
        engine_devices: EngineDevices | None = None,
        socket_path: str,
        log_path: Path,
        limits: Limits,
        on_report: Callable[[Worker, protocol.WorkerReport], None],
        on_ending: Callable[[Worker], None],
        on_end: Callable[[Worker, Failure], None],
    ) -> None:
        self.facts = facts
        self.launch = launch
        self.socket_path = socket_path
        self.pid: int | None = None
        self.ready: protocol.Ready | None = None
        self.stats: protocol.Stats | None = None
        self._prestarted = prestarted
        self._engine_devices = engine_devices or EngineDevices()
        self._log = WorkerLog(log_path)
        self._limits = limits
        self._on_report = on_report
        self._on_ending = on_ending
        self._on_end = on_end
        self._transport: asyncio.SubprocessTransport | None = None
        self._liveness: Liveness | None = None
        self._stir = asyncio.Event()
        self._stop_requested = False
        self._is_killed = False
        self._verdict: Failure | None = None
        self._garbage_lines = 0
        self._kill_timer: asyncio.TimerHandle | None = None

    # life ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        oom_kills_before = oom_kills()
        with suppress(FileNotFoundError):
            os.unlink(self.socket_path)
        try:
            process = await self._prestarted.take()
        except OSError as error:
            self._on_end(self, Failure("crashed", f"No worker could be started: {error.strerror or error}."))
            return
        transport, pipes = process.transport, process.pipes
        self._transport = transport
        self.pid = transport.get_pid()
        _prefer_for_oom_killer(self.pid)
        self._liveness = Liveness(self._limits, self._now())
        pipes.attach(self._hear_line, self._hear_flood, self._log.write, self._hear_end)
        self._send_launch(transport)
        watch = asyncio.ensure_future(self._watch())
        try:
            await pipes.exited
            if not self._stop_requested:
                # Its last words are still in the pipes; a child of it may hold them open, so there is an end to waiting.
                await asyncio.wait({pipes.closed}, timeout=1.0)
                await asyncio.wait({pipes.log_closed}, timeout=0.1)
        finally:
            watch.cancel()
            if self._kill_timer is not None:
                self._kill_timer.cancel()
            transport.close()
            self._log.close()
            with suppress(FileNotFoundError):
                os.unlink(self.socket_path)
        oom_kills_after = oom_kills()
        oom_killed = oom_kills_before is not None and (oom_kills_after or 0) > oom_kills_before
        returncode = transport.get_returncode()
        assert returncode is not None
        failure = self._verdict or failure_of(returncode, self._log.tail(), oom_killed)
        logger.info(
            "worker ended",
            extra={
                "event": "worker_ended",
                "variant": self.facts.name,
                "pid": self.pid,
                "returncode": returncode,
                "failure": None if self._stop_requested else failure.reason,
            },
        )
        self._on_end(self, failure)

    def is_exiting(self) -> bool:
        """Whether the kernel is already taking the process down: sooner known than its pipes close. Linux only, else False."""
        if self.pid is None or self._transport is None:
            return False
        if self._transport.get_returncode() is not None:
            return True
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_bytes()
        except OSError:
            return False
        fields = stat[stat.rindex(b")") + 2 :].split()
        return fields[0] in (b"Z", b"X") or bool(int(fields[6]) & _PF_EXITING)

    def stop(self) -> None:
        """Ends its standard input, which means: go. SIGKILL follows after STOP_SECONDS."""
        self._stop_requested = True
        if self._transport is None or self._transport.get_returncode() is not None:
            return
        stdin = self._transport.get_pipe_transport(0)
        if stdin is not None:
            stdin.close()
        self._kill_later()

    def kill(self) -> None:
        self._is_killed = True
        if self._transport is not None:
            with suppress(ProcessLookupError):
                self._transport.kill()

    def _kill_later(self) -> None:
        if self._kill_timer is None:
            self._kill_timer = asyncio.get_running_loop().call_later(STOP_SECONDS, self.kill)

    def _send_launch(self, transport: asyncio.SubprocessTransport) -> None:
        if self._is_killed:
            self.kill()
            return
        if self._stop_requested:
            self.stop()
            return
        engine_devices, options = self._engine_devices.needed_for(self.facts.options)
        launch: protocol.Launch = {
            "type": "launch",
            "path": self.facts.path,
            "socket": self.socket_path,
            "options": options.to_json(),
            "rpc_servers": list(engine_devices.rpc_servers),
        }
        if engine_devices.gpus is not None:
            launch["gpus"] = dict(engine_devices.gpus)
        stdin = transport.get_pipe_transport(0)
        assert isinstance(stdin, asyncio.WriteTransport)
        stdin.write(protocol.encode(launch))

    # listening ----------------------------------------------------------------------------------------------------

    def _hear_line(self, line: bytes) -> None:
        try:
            message = protocol.decode(line)
            report = check(message, _SCHEMAS[message["type"]])
        except BadShape as error:
            self._give_up(Failure("crashed", f"The worker wrote a malformed report: {error}."))
        except (protocol.BadMessage, KeyError):
            # A library that prints is a nuisance, not a fault.
            self._garbage_lines += 1
            if self._garbage_lines == 1:
                shown = line[:200].decode("utf-8", "replace").strip()
                logger.warning(
                    "worker wrote something other than a report",
                    extra={"event": "worker_garbage", "variant": self.facts.name, "line": shown},
                )
        else:
            self._heard(cast(protocol.WorkerReport, report))

    def _hear_flood(self) -> None:
        self._give_up(Failure("crashed", "The worker wrote something other than reports."))

    def _hear_end(self) -> None:
        """No more reports will come. The exit itself is known only later, but for one that was asked to stop."""
        is_over = self._transport is not None and self._transport.get_returncode() is not None
        if not (self._stop_requested and is_over):
            self._on_ending(self)
            self._kill_later()

    def _heard(self, report: protocol.WorkerReport) -> None:
        assert self._liveness is not None
        now = self._now()
        if report["type"] == "loading":
            self._liveness.loading(now, report["fraction"])
        elif report["type"] == "ready":
            self.ready = report
            self._liveness.ready(now)
        elif report["type"] == "stats":
            self.stats = report
            self._liveness.stats(now, report["step_age_seconds"])
        elif self._verdict is None:
            self._verdict = Failure(report["reason"], report["detail"])
        self._stir.set()
        self._on_report(self, report)

    # watching -----------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Sleeps until the next deadline; a report only moves the deadline, so an idle worker costs nothing."""
        assert self._liveness is not None
        pings: set[asyncio.Task[None]] = set()
        try:
            await self._watch_with(self._liveness, pings)
        finally:
            for ping in pings:
                ping.cancel()

    async def _watch_with(self, liveness: Liveness, pings: set[asyncio.Task[None]]) -> None:
        while True:
            now = self._now()
            verdict = liveness.verdict(now)
            if verdict == "timed_out":
                self._give_up(
                    Failure("timed_out", f"Loading made no progress for {self._limits.load_seconds:.0f} seconds.")
                )
                return
            if verdict == "hung":
                self._give_up(Failure("hung", "The worker generated no token in time and was ended."))
                return
            if liveness.wants_ping(now):
                liveness.pinged(now)
                ping = asyncio.ensure_future(self._ping())
                pings.add(ping)
                ping.add_done_callback(pings.discard)
            self._stir.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stir.wait(), max(0.0, liveness.next_deadline() - now))

    async def _ping(self) -> None:
        """One real token. Anything but a Pong leaves the deadline standing."""
        assert self._liveness is not None
        writer = None
        try:
            reader, writer = await private_folder.connect(self.socket_path, LONGEST_REPORT_BYTES)
            writer.write(protocol.encode({"type": "ping"}))
            reply = await asyncio.wait_for(protocol.read(reader), self._limits.pong_seconds)
            if reply is not None and reply["type"] == "pong":
                self._liveness.ponged(self._now())
                self._stir.set()
        except (OSError, protocol.BadMessage, asyncio.TimeoutError) as error:
            logger.warning(
                "worker did not answer a ping",
                extra={"event": "ping_failed", "variant": self.facts.name, "error": str(error)},
            )
        finally:
            if writer is not None:
                writer.close()

    def _give_up(self, failure: Failure) -> None:
        if self._verdict is None:
            self._verdict = failure
        logger.warning(
            "worker given up", extra={"event": "worker_given_up", "variant": self.facts.name, "failure": failure.reason}
        )
        self.kill()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _prefer_for_oom_killer(pid: int) -> None:
    """Where memory runs out, a worker goes before the host or the page does. Linux only."""
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(_OOM_SCORE_ADJ)


def process_bytes(pid: int) -> int | None:
    """Resident memory of a process; None once it is gone."""
    import psutil  # not at the top: only a status needs it

    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return None
