"""One worker process: started, listened to, watched, and ended."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from inference.core.liveness import Limits, Liveness
from inference.core.residency import Failure, VariantFacts
from inference.engine import protocol
from inference.host.exits import failure_of, oom_kills
from inference.host.shape import BadShape, check
from inference.host.worker_log import WorkerLog

logger = logging.getLogger(__name__)

WORKER_ARGV = (sys.executable, "-m", "inference.engine.worker")
PROJECT_ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 5.0
"""What a worker gets between the end of its standard input and SIGKILL."""
_LONGEST_REPORT_BYTES = 1024 * 1024
_OOM_SCORE_ADJ = "500"

_PASSED_ON = frozenset(
    {
        *("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE"),
        *("PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LLAMA_CPP_LIB_PATH"),
    }
)
_PASSED_ON_PREFIXES = ("CUDA_", "NVIDIA_", "GGML_", "OMP_", "GOMP_", "KMP_", "HSA_", "HIP_", "ROCR_", "VK_", "MTL_")

_SCHEMAS: dict[str, type] = {
    "loading": protocol.Loading,
    "ready": protocol.Ready,
    "stats": protocol.Stats,
    "failed": protocol.Failed,
}


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a worker may know: how to find programs, libraries and devices. No secrets, no database."""
    return {
        name: value for name, value in environment.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }


class Worker:
    """A worker's life, from spawn to exit. `run` returns when the process is gone.

    `on_report` hears each valid report, `on_end` the failure that the exit would mean for a worker that was not told to go.
    """

    def __init__(
        self,
        facts: VariantFacts,
        launch: int,
        *,
        argv: tuple[str, ...],
        socket_path: str,
        log_path: Path,
        limits: Limits,
        on_report: Callable[[Worker, protocol.WorkerReport], None],
        on_end: Callable[[Worker, Failure], None],
    ) -> None:
        self.facts = facts
        self.launch = launch
        self.socket_path = socket_path
        self.pid: int | None = None
        self.ready: protocol.Ready | None = None
        self.stats: protocol.Stats | None = None
        self._argv = argv
        self._log = WorkerLog(log_path)
        self._limits = limits
        self._on_report = on_report
        self._on_end = on_end
        self._process: asyncio.subprocess.Process | None = None
        self._liveness: Liveness | None = None
        self._stir = asyncio.Event()
        self._told_to_go = False
        self._verdict: Failure | None = None
        self._garbage_lines = 0
        self._kill_timer: asyncio.TimerHandle | None = None

    # life ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        oom_kills_before = oom_kills()
        with suppress(FileNotFoundError):
            os.unlink(self.socket_path)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LONGEST_REPORT_BYTES,
                cwd=PROJECT_ROOT,
                env=worker_environment(os.environ),
                # Ctrl-C at the terminal is for the supervisor: a worker ends by its standard input, after draining.
                start_new_session=True,
            )
        except OSError as error:
            self._on_end(self, Failure("crashed", f"No worker could be started: {error.strerror or error}."))
            return
        self._process = process
        self.pid = process.pid
        _prefer_for_oom_killer(process.pid)
        self._liveness = Liveness(self._limits, self._now())
        self._launch_it()
        listeners = [
            asyncio.ensure_future(self._listen()),
            asyncio.ensure_future(self._keep_log()),
        ]
        watch = asyncio.ensure_future(self._watch())
        try:
            returncode = await process.wait()
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            watch.cancel()
            if self._kill_timer is not None:
                self._kill_timer.cancel()
            # What the process wrote before it ended is still in the pipes; a stray child may hold them open.
            await asyncio.wait(listeners, timeout=1.0)
            for listener in listeners:
                listener.cancel()
            self._log.close()
            with suppress(FileNotFoundError):
                os.unlink(self.socket_path)
        oom_kills_after = oom_kills()
        oom_killed = oom_kills_before is not None and (oom_kills_after or 0) > oom_kills_before
        failure = self._verdict or failure_of(returncode, self._log.tail(), oom_killed)
        logger.info(
            "worker ended",
            extra={
                "event": "worker_ended",
                "variant": self.facts.name,
                "pid": self.pid,
                "returncode": returncode,
                "failure": None if self._told_to_go else failure.reason,
            },
        )
        self._on_end(self, failure)

    def stop(self) -> None:
        """Ends its standard input, which means: go. SIGKILL follows after STOP_SECONDS."""
        self._told_to_go = True
        if self._process is None or self._process.returncode is not None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._kill_timer = asyncio.get_running_loop().call_later(STOP_SECONDS, self.kill)

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)

    def _launch_it(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        if self._told_to_go:
            self.stop()
            return
        launch: protocol.Launch = {
            "type": "launch",
            "path": self.facts.path,
            "socket": self.socket_path,
            "options": self.facts.options.to_json(),
        }
        self._process.stdin.write(protocol.encode(launch))

    # listening ----------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:
                self._give_up(Failure("crashed", "The worker wrote something other than reports."))
                return
            if not line:
                return
            try:
                message = protocol.decode(line)
                report = check(message, _SCHEMAS[message["type"]])
            except BadShape as error:
                self._give_up(Failure("crashed", f"The worker wrote a malformed report: {error}."))
                return
            except (protocol.BadMessage, KeyError):
                # A library that prints is a nuisance, not a fault.
                self._garbage_lines += 1
                if self._garbage_lines == 1:
                    shown = line[:200].decode("utf-8", "replace").strip()
                    logger.warning(
                        "worker wrote something other than a report",
                        extra={"event": "worker_garbage", "variant": self.facts.name, "line": shown},
                    )
                continue
            self._heard(cast(protocol.WorkerReport, report))

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

    async def _keep_log(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65_536):
            self._log.write(chunk)

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
            reader, writer = await asyncio.open_unix_connection(self.socket_path, limit=_LONGEST_REPORT_BYTES)
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
        return cast(int, psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
