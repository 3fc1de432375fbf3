"""A whole box with people who are signed in and a variant with the wanted slots; tests.stack runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.stack import BASE_DIR, Stack, running_stack

LOG_LINES = 20
PROCESSES = ("serve", "web", "host", "jobs")


class BoxFailed(Exception):
    """The box could not be prepared; the message carries what was said."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in."""

    user_id: int
    cookie: str


@dataclass(frozen=True, slots=True)
class Prepared:
    host_socket: str
    variant: int
    people: tuple[Person, ...]


@contextmanager
def running_box() -> Iterator[Stack]:
    """Ready inside the block, on this machine's own address only. A fault inside shows the last lines of its logs."""
    with running_stack(HOSTUI_HOST="127.0.0.1") as stack:
        try:
            yield stack
        except Exception:
            # The data folder goes with the box; this is what is left to find a fault by.
            for log in sorted((stack.data_dir / "logs").rglob("*.log")):
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
                print(f"--- {log.name}", *lines, sep="\n", file=sys.stderr)
            raise


def pids(stack: Stack) -> dict[str, int]:
    return {name: stack.pid(name) for name in PROCESSES}


def prepare(stack: Stack, *, n_users: int, n_seq_max: int, n_ctx_seq: int) -> Prepared:
    """People who are signed in, and the starter variant with these slots. To be called once, before anything is loaded."""
    numbers = map(str, (n_users, n_seq_max, n_ctx_seq))
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.box_setup", *numbers],
        cwd=BASE_DIR,
        env=stack.environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BoxFailed(f"setting up people and variant failed:\n{done.stderr}")
    printed = json.loads(done.stdout)
    people = tuple(Person(**each) for each in printed["users"])
    return Prepared(printed["host_socket"], printed["variant"], people)
