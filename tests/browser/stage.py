"""A real web process in front of a host that does what a test tells it: what a model says, and when, is the test's choice."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar

from tests.web.fake_host import FakeHost, Line, resident

T = TypeVar("T")

BASE_DIR = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 60.0
STEP_SECONDS = 20.0

VARIANT = "Staged-24B-Instruct-2507-UD-Q4_K_XL"
COMPLETION_VARIANT = "Staged-8B-base-Q8_0"
PEOPLE = ("alice", "bob")
PASSWORD = "correct horse battery"

_PEOPLE_AND_MODELS = f"""
from django.contrib.auth.models import User
from models_app.models import Repository, Variant
for name in {PEOPLE!r}:
    User.objects.create_user(name, password={PASSWORD!r}, is_staff=name == "alice", is_superuser=name == "alice")
folder = Repository.objects.create(name="/models", kind="folder")
for name, size_bytes in (({VARIANT!r}, 912_000_000), ({COMPLETION_VARIANT!r}, 1_640_000_000)):
    Variant.objects.create(repository=folder, name=name, size_bytes=size_bytes)
"""


class Answering:
    """One answer that is being generated: the test is the model."""

    def __init__(self, stage: Stage, lease: Line, line: Line) -> None:
        self._stage = stage
        self._lease = lease
        self._line = line
        self._n = 0

    @property
    def request(self) -> dict[str, Any]:
        return self._line.request

    def prefill(self, done: int, total: int) -> None:
        self._stage.run(self._line.say({"type": "prefill", "done": done, "total": total, "cached": 0}))

    def say(self, *pieces: str, reasoning: bool = False) -> None:
        """Each piece is one token."""
        for piece in pieces:
            self._n += 1
            self._stage.run(self._line.token(self._n, piece, reasoning=reasoning))

    def done(self, reason: str = "stop") -> None:
        self._stage.run(self._line.done(self._n, reason))

    def crash(self) -> None:
        self._stage.run(_drop(self._line))

    def wait_until_cancelled(self) -> None:
        """Returns when the web process has closed the connection to the worker."""
        self._stage.run(self._line.hung_up())


async def _drop(line: Line) -> None:
    line.drop()


class Stage:
    """`manage.py runweb` over a data folder of its own, and the scripted host behind it."""

    def __init__(self, folder: Path, **variables: str) -> None:
        """`variables`: further ones of the web process's environment."""
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HOSTUI_")},
            "HOSTUI_DATA_DIR": str(folder),
            "HOSTUI_HOST": "127.0.0.1",
            "HOSTUI_PORT": str(self.port),
            # The web process ends when its standard input does, so none can outlive the tests.
            "HOSTUI_LIFELINE": "stdin",
            **variables,
        }
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="staged host", daemon=True)
        self._web: subprocess.Popen[bytes] | None = None
        self.host = FakeHost(folder / "run" / "host.sock", folder / "run" / "worker.sock")

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(STEP_SECONDS)

    def manage(self, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=BASE_DIR,
            env=self._environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    # beginning and end -----------------------------------------------------------------------------------------

    def start(self) -> None:
        self.manage("migrate", "--verbosity", "0")
        self.manage("shell", "-c", _PEOPLE_AND_MODELS)
        self._thread.start()
        self.run(self.host.start())
        self.residents(resident(1, VARIANT))
        self.start_web()

    def stop(self) -> None:
        self.stop_web()
        self.run(self.host.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STEP_SECONDS)
        self._loop.close()

    def start_web(self) -> None:
        with (self.folder / "web.out").open("ab") as out:
            self._web = subprocess.Popen(
                [sys.executable, "manage.py", "runweb"],
                cwd=BASE_DIR,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            said = (self.folder / "web.out").read_text()
            assert self._web.poll() is None, f"the web process ended at once:\n{said}"
            assert time.monotonic() < deadline, f"no page after {START_SECONDS:g} s:\n{said}"
            threading.Event().wait(0.05)

    def _answers(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/login/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop_web(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._web is not None:
            self._web.send_signal(how)
            self._web.wait(STEP_SECONDS)
            assert self._web.stdin is not None
            self._web.stdin.close()
            self._web = None

    def wait_until_stored(self, conversation: str, content: str) -> None:
        """Returns when the conversation's answer stands in the database with this text."""
        deadline = time.monotonic() + STEP_SECONDS
        query = "SELECT content FROM inference_message WHERE conversation_id = ? AND role = 'assistant'"
        with closing(sqlite3.connect(f"file:{self.folder / 'hostui.sqlite3'}?mode=ro", uri=True)) as database:
            while (content,) not in (found := database.execute(query, [conversation.replace("-", "")]).fetchall()):
                assert time.monotonic() < deadline, f"stored is {found}"
                threading.Event().wait(0.05)

    def reset(self) -> None:
        """Nothing waits, the first model is in memory, and a web process runs."""
        self.run(self._hang_up())
        self.residents(resident(1, VARIANT))
        if self._web is None:
            self.start_web()

    async def _hang_up(self) -> None:
        await self.host.stop()
        await self.host.start()

    # what the host does ----------------------------------------------------------------------------------------

    def residents(self, *residents: dict[str, Any]) -> None:
        self.run(self.host.tell(list(residents)))

    def waiting(self) -> Line:
        """The next lease that somebody asks for; `say` what it waits for."""
        return self.run(self.host.take("lease"))

    def tell(self, line: Line, *messages: dict[str, Any]) -> None:
        self.run(line.say(*messages))

    def answer(self, lease: Line | None = None, mode: str = "chat") -> Answering:
        """Grants `lease` (or the next one that is asked for) and takes the generation that follows."""
        lease = lease or self.waiting()
        self.tell(lease, self.host.ready(mode))
        return Answering(self, lease, self.run(self.host.worker.take("generate")))
