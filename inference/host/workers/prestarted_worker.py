"""A worker's process, started before it is needed."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inference.host.workers.environment import worker_environment
from inference.host.workers.pipes import Pipes

PROJECT_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Process:
    transport: asyncio.SubprocessTransport
    pipes: Pipes


async def start(argv: tuple[str, ...]) -> Process:
    """One that waits for its launch line. Raises OSError."""
    pipes = Pipes()
    transport, _ = await asyncio.get_running_loop().subprocess_exec(
        lambda: pipes,
        *argv,
        cwd=PROJECT_ROOT,
        env=worker_environment(os.environ),
        # Ctrl-C at the terminal is for the supervisor: a worker ends by its standard input, after draining.
        start_new_session=True,
    )
    return Process(transport, pipes)


class PrestartedWorker:
    """One process more than there are variants, which has imported everything: a swap's load is a tenth of a second shorter by it.

    Kept while any variant is resident, for only then can one be swapped for another. Belongs to one event loop.
    """

    def __init__(self, argv: tuple[str, ...], after_seconds: float) -> None:
        self._argv = argv
        self._after_seconds = after_seconds
        self._starting: asyncio.Task[Process] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def prepare_soon(self) -> None:
        """Starts one in `after_seconds`, when the answer that was loaded for is well on its way: imports take a core for a while."""
        self.put_off()
        self._timer = asyncio.get_running_loop().call_later(self._after_seconds, self._prepare)

    def put_off(self) -> None:
        """None is started until `prepare_soon` is called again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _prepare(self) -> None:
        if self._starting is None:
            self._starting = asyncio.ensure_future(start(self._argv))

    async def take(self) -> Process:
        """The one that was prepared, if it is alive, else a new one. Raises OSError."""
        starting, self._starting = self._starting, None
        if starting is not None:
            with suppress(OSError):
                process = await starting
                if not process.pipes.exited.done():
                    return process
                process.transport.close()
        return await start(self._argv)

    async def dismiss(self) -> None:
        """Ends the one that was prepared, and returns when it is gone."""
        self.put_off()
        starting, self._starting = self._starting, None
        if starting is not None:
            with suppress(OSError):
                process = await starting
                process.transport.close()  # which kills it
                await process.pipes.exited
