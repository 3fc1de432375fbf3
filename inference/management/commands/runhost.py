"""Runs the host: the one process that loads and unloads models."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from inference.core.monitoring.liveness import Limits
from inference.host.planning.database import DjangoInventory
from inference.host.planning.device_detection import detect_devices
from inference.host.planning.dry_runs import DryRuns
from inference.host.planning.variant_source import InventoryUnavailable
from inference.host.planning.ways import Planning
from inference.host.run_dir import HostIsRunning, RunDir, UnsafeFolder
from inference.host.run_loop import Host, HostOptions
from inference.host.server import Server
from inference.host.telemetry.readings import Machine
from inference.host.telemetry.sampler import Telemetry
from inference.host.workers.environment import worker_environment
from inference.wording import refusals

logger = logging.getLogger("inference.host")


class Command(BaseCommand):
    help = "Run the host, which owns the memory budget and starts the workers."
    # Checks import the URL configuration and with it every page: memory that this process never uses.
    requires_system_checks: list[str] = []  # noqa: RUF012  Django's own shape

    def handle(self, *args: Any, **options: Any) -> None:
        run_dir = RunDir(settings.HOST_SOCKET, Path(settings.RUN_DIR) / "host.lock")
        try:
            run_dir.lock()
        except HostIsRunning as running:
            raise CommandError(f"A host already runs on {settings.DATA_DIR} ({running}). Stop it first.") from None
        except UnsafeFolder as error:
            # Said to serve, too: starting again would not help.
            self.stderr.write(f"hostui: {error}")
            sys.exit(os.EX_CONFIG)
        except OSError as error:
            raise CommandError(f"The host cannot use {settings.RUN_DIR}: {error}.") from None
        try:
            run_dir.clear()
            asyncio.run(_run(run_dir))
        finally:
            run_dir.close()


async def _host(run_dir: RunDir) -> Host:
    """Looks at what this machine has. Raises CommandError where the owner's settings for it cannot be used."""
    environment = worker_environment(os.environ)
    engine_devices = await detect_devices(settings.RPC_SERVERS, environment)
    planning = Planning(engine_devices, settings.BUDGET_BYTES, settings.RPC_CLIENTS)
    inventory = DjangoInventory(settings.KEEP_ALIVE_SECONDS, planning, DryRuns(engine_devices, environment))
    try:
        pools = await inventory.pools()
    except InventoryUnavailable as error:
        raise CommandError(refusals.sentence(error.facts, None, str)) from None
    options = HostOptions(
        pools=pools,
        log_dir=Path(settings.LOG_DIR),
        max_wait_seconds=settings.MAX_WAIT_SECONDS,
        drain_seconds=settings.DRAIN_SECONDS,
        limits=Limits(load_seconds=settings.LOAD_TIMEOUT_SECONDS, step_seconds=settings.STEP_TIMEOUT_SECONDS),
        engine_devices=engine_devices,
    )
    return Host(options, inventory, run_dir)


async def _run(run_dir: RunDir) -> None:
    loop = asyncio.get_running_loop()
    host = await _host(run_dir)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, host.shutdown)
    if os.environ.get("HOSTUI_LIFELINE") == "stdin":
        await _end_with_supervisor(host)
    telemetry = Telemetry(host, Machine(), host.set_foreign, host.note_processes)
    server = Server(host, telemetry)
    await server.start(run_dir.socket_path)
    budgets = {each.device: each.budget_bytes for each in host.pools()}
    logger.info("host ready", extra={"event": "host_ready", "pid": os.getpid(), "budgets": budgets})
    sampling = asyncio.ensure_future(telemetry.run())
    try:
        await host.run()
    finally:
        sampling.cancel()
        await server.close()
        logger.info("host ended", extra={"event": "host_ended"})


class _Lifeline(asyncio.Protocol):
    """The supervisor holds the other end of our standard input: its end means that the supervisor is gone."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def eof_received(self) -> bool:
        self._host.shutdown(0.0)
        return False


async def _end_with_supervisor(host: Host) -> None:
    await asyncio.get_running_loop().connect_read_pipe(lambda: _Lifeline(host), sys.stdin)
