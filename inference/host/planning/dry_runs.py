"""Dry runs, each once: many may ask for the same one while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from inference.core.loads.engine_devices import EngineDevices
from inference.core.loads.options import LoadOptions
from inference.engine.tools.children import DryRunFailed, dry_run

logger = logging.getLogger(__name__)
_MOST_AT_ONCE = 1
"""Each maps a whole context on the devices for a moment."""

Keep = Callable[[str, Mapping[str, int]], Awaitable[None]]


class DryRuns:
    """Belongs to one event loop."""

    def __init__(self, engine_devices: EngineDevices, environment: Mapping[str, str]) -> None:
        self._engine_devices = engine_devices
        self._environment = environment
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._failed: set[str] = set()
        self._turn = asyncio.Semaphore(_MOST_AT_ONCE)

    @property
    def running(self) -> tuple[asyncio.Task[bool], ...]:
        return tuple(self._running.values())

    def start(self, path: Path, options: LoadOptions, key: str, keep: Keep) -> asyncio.Future[bool] | None:
        """The run that will end with `keep(key, bytes by device)`, or with False. None: it failed before and is not repeated.

        Cancelling what comes back leaves the run to others that wait for it.
        """
        if key in self._failed:
            return None
        if key not in self._running:
            task = asyncio.ensure_future(self._run(path, options, key, keep))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return asyncio.shield(self._running[key])

    async def _run(self, path: Path, options: LoadOptions, key: str, keep: Keep) -> bool:
        try:
            async with self._turn:
                engine_devices, options = self._engine_devices.needed_for(options)
                told = await dry_run(path, options, self._environment, engine_devices=engine_devices)
            await keep(key, told.compute_bytes)
        except Exception as error:
            # What cannot be known before the load is known after it.
            self._failed.add(key)
            detail = error.detail if isinstance(error, DryRunFailed) else str(error)
            logger.warning("dry run failed", extra={"event": "dry_run_failed", "path": str(path), "detail": detail})
            return False
        return True
