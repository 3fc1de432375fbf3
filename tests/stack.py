"""A whole box for the live tests: real `manage.py serve`, its own data folder, a free port, and proof that nothing survives it."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any, TypeVar

import httpx
import psutil

BASE_DIR = Path(__file__).resolve().parent.parent
READY_WITHIN_SECONDS = 60.0
GONE_WITHIN_SECONDS = 30.0
SERVE = (sys.executable, str(BASE_DIR / "manage.py"), "serve")

T = TypeVar("T")


def free_port() -> int:
    """A port that nobody listens on now, on any address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("0.0.0.0", 0))  # noqa: S104
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], T | None], what: str, seconds: float = 30.0) -> T:
    """The condition's first true value. Fails with `what` when the deadline passes."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended. One that nobody has waited for yet has: where the system's first process reaps no orphans,
    it stays listed."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def assert_gone(processes: Iterable[psutil.Process]) -> None:
    """Waits for their end; fails with the command lines of what still runs, after ending it."""
    listed = list(processes)
    try:
        wait_for(lambda: all(is_gone(process) for process in listed), "processes to end", GONE_WITHIN_SECONDS)
    except AssertionError:
        left = [process for process in listed if not is_gone(process)]
        lines = [f"{process.pid}: {' '.join(process.cmdline())}" for process in left]
        for process in left:
            process.kill()
        raise AssertionError("left behind: " + "; ".join(lines)) from None


@dataclass(frozen=True, slots=True)
class Account:
    username: str
    password: str


@dataclass(slots=True)
class Stack:
    """One running box. `environment` is what its commands need to find it."""

    data_dir: Path
    port: int
    environment: dict[str, str]
    program: Sequence[str] = SERVE
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)
    """What serve printed so far."""
    seen: dict[int, psutil.Process] = field(default_factory=dict)
    """Every process that was ever found below serve, to prove that it is gone."""
    _admin: Account | None = None
    _output: threading.Condition = field(default_factory=threading.Condition)
    _started: list[tuple[subprocess.Popen[str], threading.Thread]] = field(default_factory=list)

    # the processes ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts serve and returns when it has printed its links."""
        self.lines = []
        self.process = subprocess.Popen(
            self.program,
            cwd=BASE_DIR,
            env=self.environment,
            # The lifeline: were the test run itself killed, its boxes would go too.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        reader = threading.Thread(target=self._read, args=(self.process, self.lines), daemon=True)
        reader.start()
        self._started.append((self.process, reader))
        self.printed(r"hostui is ready", READY_WITHIN_SECONDS)
        self.look()

    def release(self) -> None:
        """Closes the pipes of every serve that was started. To be called when their children, who hold them too, are gone."""
        for process, reader in self._started:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.wait(GONE_WITHIN_SECONDS)
            reader.join(GONE_WITHIN_SECONDS)
            process.stdout.close()
        self._started.clear()

    def _read(self, process: subprocess.Popen[str], lines: list[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._output:
                lines.append(line.rstrip("\n"))
                self._output.notify_all()
        with self._output:
            self._output.notify_all()

    def printed(self, pattern: str, seconds: float = 30.0) -> re.Match[str]:
        """The first match in what serve printed, waiting for it. Fails with the whole output when serve ends without it."""
        deadline = time.monotonic() + seconds
        with self._output:
            while True:
                for line in self.lines:
                    if match := re.search(pattern, line):
                        return match
                over = not self._started or not self._started[-1][1].is_alive()
                left = deadline - time.monotonic()
                if over or left <= 0:
                    text = "\n".join(self.lines)
                    raise AssertionError(f"serve {'ended' if over else 'ran'} without printing {pattern!r}:\n{text}")
                self._output.wait(min(left, 1.0))

    def look(self) -> None:
        """Remembers the processes that are below serve now."""
        assert self.process is not None
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            for process in [root, *root.children(recursive=True)]:
                self.seen.setdefault(process.pid, process)

    def entry(self, name: str) -> dict[str, Any]:
        """What serve.json says of web, host or jobs."""
        content = json.loads((self.data_dir / "run" / "serve.json").read_text())
        return dict(content["processes"][name])

    def pid(self, name: str) -> int:
        """The process id of serve, web, host or jobs; waits while it is being restarted."""
        if name == "serve":
            assert self.process is not None
            return self.process.pid
        pid = wait_for(lambda: self.entry(name)["pid"], f"{name} to have a process")
        self.look()
        return int(pid)

    def workers(self) -> list[psutil.Process]:
        """The processes below the host."""
        found = psutil.Process(self.pid("host")).children(recursive=True)
        self.look()
        return found

    def kill(self, name: str) -> psutil.Process:
        """`kill -9`; returns the process, which serve is about to notice; serve itself is dead when this returns."""
        self.look()
        process = psutil.Process(self.pid(name))
        process.send_signal(signal.SIGKILL)
        if name == "serve":
            assert self.process is not None
            self.process.wait(GONE_WITHIN_SECONDS)
        return process

    def healthy(self) -> bool:
        """Whether /healthz finds every process well."""
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def wait_healthy(self, seconds: float = 60.0) -> None:
        wait_for(self.healthy, "every process to be well", seconds)
        self.look()

    def stop(self, number: int = signal.SIGINT) -> int:
        """Ends serve by a signal, as Ctrl-C does, and returns its exit status."""
        assert self.process is not None
        self.look()
        self.process.send_signal(number)
        return self.process.wait(GONE_WITHIN_SECONDS)

    def assert_nothing_is_left(self) -> None:
        """Fails with the command lines of what still runs, after ending it."""
        assert_gone(self.seen.values())

    # the people ------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def claim_link(self) -> str:
        """The one-time link, as printed, on the loopback address."""
        return self.url + self.printed(r"https?://\S+(/claim/\S+)")[1]

    @property
    def admin(self) -> Account:
        """The administrator, made through the claim link on first use."""
        if self._admin is None:
            account = Account("admin", secrets.token_urlsafe(16))
            self._claim(self.claim_link, account)
            self._admin = account
        return self._admin

    def new_user(self, name: str) -> Account:
        """A member of the household, made through an invitation."""
        link = json.loads(self.manage("invite", "--json"))["link"]
        account = Account(name, secrets.token_urlsafe(16))
        self._claim(self.url + re.sub(r"^https?://[^/]+", "", link), account)
        return account

    def _claim(self, link: str, account: Account) -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            page = client.get(link)
            page.raise_for_status()
            form = {
                "csrfmiddlewaretoken": csrf_token(page.text),
                "username": account.username,
                "password1": account.password,
                "password2": account.password,
            }
            answer = client.post(link, data=form, headers={"Origin": self.url})
            assert answer.status_code == 302, answer.text

    def login(self, account: Account) -> httpx.Client:
        """A browser-like client with that account's session; close it when done."""
        client = httpx.Client(base_url=self.url, trust_env=False, timeout=30, follow_redirects=False)
        form = {
            "csrfmiddlewaretoken": csrf_token(client.get("/login/").text),
            "username": account.username,
            "password": account.password,
        }
        answer = client.post("/login/", data=form, headers={"Origin": self.url})
        assert answer.status_code == 302, answer.text
        return client

    def create_key(self, account: Account) -> str:
        return str(json.loads(self.manage("create_key", account.username, "--json"))["key"])

    def manage(self, *arguments: str) -> str:
        """What `manage.py …` prints on standard output, for this box. Fails where it fails."""
        done = subprocess.run(
            [sys.executable, str(BASE_DIR / "manage.py"), *arguments],
            cwd=BASE_DIR,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"manage.py {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout


def csrf_token(page: str) -> str:
    match = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert match is not None, "a form without a CSRF token"
    return match[1]


@contextmanager
def running_stack(program: Sequence[str] = SERVE, **variables: str) -> Iterator[Stack]:
    """A box with these further environment variables, started by `program`. Ends it, and fails if a process of it survives."""
    with _stack(program, **variables) as stack:
        try:
            stack.start()
            yield stack
            if stack.process is not None and stack.process.poll() is None:
                stack.stop()
        finally:
            if stack.process is not None and stack.process.poll() is None:
                stack.look()
                stack.process.kill()
                stack.process.wait()
            stack.assert_nothing_is_left()
            stack.release()


@contextmanager
def _stack(program: Sequence[str], **variables: str) -> Iterator[Stack]:
    # Not under the tests' own data folder: pytest's temporary paths are longer than a socket's name may be.
    data_dir = Path(tempfile.mkdtemp(prefix="hostui-stack-"))
    port = free_port()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HOSTUI_") and k != "DATABASE_URL"}
    environment = {
        **clean,
        "HOSTUI_DATA_DIR": str(data_dir),
        "HOSTUI_PORT": str(port),
        "HOSTUI_LIFELINE": "stdin",
        "DJANGO_SETTINGS_MODULE": "hostui.settings",
        **variables,
    }
    try:
        yield Stack(data_dir, port, environment, program)
    finally:
        rmtree(data_dir, ignore_errors=True)
