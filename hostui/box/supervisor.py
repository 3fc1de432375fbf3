"""Keeps processes running: starts them, restarts what dies with back-off, stops them in order and leaves none behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
STABLE_SECONDS = 60.0
MANY_FAILURES = 5

ChildState = Literal["starting", "running", "waiting", "stopped"]


class ChildEntry(TypedDict):
    pid: int | None
    state: ChildState
    restarts: int
    started_at: float | None
    """Unix time."""


class ServeFile(TypedDict):
    """What `serve.json` holds."""

    pid: int
    processes: dict[str, ChildEntry]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next start. Doubles with each failure, and forgets them after a stable minute."""

    failures: int = 0

    def after(self, ran_seconds: float) -> Backoff:
        """The back-off after a run of that length ended by itself."""
        return Backoff(1 if ran_seconds >= STABLE_SECONDS else self.failures + 1)

    @property
    def delay_seconds(self) -> float:
        if not self.failures:
            return 0.0
        return min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(self.failures - 1, 16))


@dataclass(frozen=True, slots=True)
class Program:
    """One process to keep running. `stop_seconds` is how long its orderly end may take."""

    name: str
    command: Sequence[str]
    stop_seconds: float


@dataclass(slots=True)
class SupervisedProcess:
    program: Program
    state: ChildState = "starting"
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    started_at: float | None = None
    backoff: Backoff = field(default_factory=Backoff)
    keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.returncode is None else None


class WillNotStart(Exception):
    """A program says by its exit status that no restart will help; it has said why itself."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} cannot start")
        self.name = name


def ending(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


class Supervisor:
    """Owns its children's processes and `record`, the file that tells others about them.

    `say` takes one line for the person at the console.
    """

    def __init__(
        self, programs: Sequence[Program], environment: Mapping[str, str], record: Path, say: Callable[[str], None]
    ) -> None:
        self.children = {program.name: SupervisedProcess(program) for program in programs}
        self._environment = dict(environment)
        self._record = record
        self._say = say
        self._settled = False
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises WillNotStart if a program says so before `settle`."""

    def start(self) -> None:
        for child in self.children.values():
            child.keeper = asyncio.create_task(self._keep(child), name=f"keep {child.program.name}")

    def settle(self) -> None:
        """Everything has been healthy once: from now on nothing is given up."""
        self._settled = True
        for child in self.children.values():
            if child.pid:
                child.state = "running"
        self._write()

    async def _keep(self, child: SupervisedProcess) -> None:
        while True:
            began = time.monotonic()
            await self._spawn(child)
            assert child.process is not None
            status = await child.process.wait()
            if status == os.EX_CONFIG and not self._settled:
                if not self.failed.done():
                    self.failed.set_exception(WillNotStart(child.program.name))
                return
            child.backoff = child.backoff.after(time.monotonic() - began)
            child.state = "waiting"
            self._write()
            self._explain(child, status)
            await asyncio.sleep(child.backoff.delay_seconds)
            child.restarts += 1

    def _explain(self, child: SupervisedProcess, status: int) -> None:
        name, backoff = child.program.name, child.backoff
        line = f"{name} ended {ending(status)}; starting it again in {backoff.delay_seconds:g} s"
        if backoff.failures >= MANY_FAILURES:
            line += f" ({backoff.failures} times in a row; its log is logs/{name}.log in the data folder)"
        self._say(line)

    async def _spawn(self, child: SupervisedProcess) -> None:
        child.process = await asyncio.create_subprocess_exec(
            *child.program.command,
            stdin=asyncio.subprocess.PIPE,
            env=self._environment,
            # A session of its own: Ctrl-C at the console reaches serve alone, which then stops them in order.
            start_new_session=True,
        )
        child.started_at = time.time()
        child.state = "running" if self._settled else "starting"
        self._write()

    async def stop(self, order: Sequence[Sequence[str]], hurry: asyncio.Event) -> None:
        """Ends the children, one group after the other: SIGTERM, and SIGKILL when its time is up or `hurry` is set."""
        for child in self.children.values():
            if child.keeper is not None:
                # One that is just starting its process kills it: asyncio does so when that is cancelled.
                child.keeper.cancel()
        await asyncio.gather(*(c.keeper for c in self.children.values() if c.keeper), return_exceptions=True)
        for group in order:
            await asyncio.gather(*(self._end(self.children[name], hurry) for name in group))
        self._write()

    async def _end(self, child: SupervisedProcess, hurry: asyncio.Event) -> None:
        process = child.process
        if process is not None and process.returncode is None:
            process.terminate()
            ended = asyncio.ensure_future(process.wait())
            hurried = asyncio.ensure_future(hurry.wait())
            await asyncio.wait(
                (ended, hurried), timeout=child.program.stop_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            hurried.cancel()
            if not ended.done():
                self._say(f"{child.program.name} does not end; killing it")
                process.kill()
            await ended
        child.state = "stopped"

    def _write(self) -> None:
        entries: dict[str, ChildEntry] = {
            name: {
                "pid": child.pid,
                "state": child.state,
                "restarts": child.restarts,
                "started_at": child.started_at,
            }
            for name, child in self.children.items()
        }
        content: ServeFile = {"pid": os.getpid(), "processes": entries}
        draft = self._record.with_suffix(".part")
        try:
            draft.write_text(json.dumps(content))
            draft.replace(self._record)
        except OSError as error:
            # A full disk must not take down what still runs.
            self._say(f"cannot write {self._record}: {error.strerror}")
