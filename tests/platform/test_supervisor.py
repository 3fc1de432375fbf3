"""The supervisor: back-off, restarts, an orderly end, and no end left out. Its programs are small real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hostui.box.supervisor import STABLE_SECONDS, Backoff, Program, Supervisor, WillNotStart, ending
from tests.stack import is_gone

UNTIL_EOF = "import sys; sys.stdin.read()"
"""Ends when its supervisor does."""
DEADLINE_SECONDS = 20.0


def test_the_delay_doubles_to_half_a_minute() -> None:
    backoff, delays = Backoff(), []
    for _ in range(9):
        backoff = backoff.after(0.1)
        delays.append(backoff.delay_seconds)
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_stable_minute_forgets_earlier_failures() -> None:
    backoff = Backoff(failures=20)
    assert backoff.after(STABLE_SECONDS - 1).delay_seconds == 30
    assert backoff.after(STABLE_SECONDS).delay_seconds == 0.5


def test_an_exit_status_is_said_in_words() -> None:
    assert ending(-9) == "by SIGKILL"
    assert ending(3) == "with status 3"
    assert ending(-250) == "by signal 250"


async def until(condition: Callable[[], object]) -> None:
    """Returns when the condition holds; fails after the deadline."""

    async def look() -> None:
        while not condition():  # noqa: ASYNC110  what other processes do sets no event here
            await asyncio.sleep(0.01)

    await asyncio.wait_for(look(), DEADLINE_SECONDS)


class Box:
    """A supervisor with the lines that it said."""

    def __init__(self, folder: Path, **programs: str) -> None:
        self.lines: list[str] = []
        self.record = folder / "serve.json"
        made = [Program(name, [sys.executable, "-c", code], 5.0) for name, code in programs.items()]
        self.supervisor = Supervisor(made, os.environ, self.record, self.lines.append)
        self.hurry = asyncio.Event()

    def entry(self, name: str) -> dict[str, object]:
        return dict(json.loads(self.record.read_text())["processes"][name])

    async def stop(self, *order: list[str]) -> None:
        await asyncio.wait_for(self.supervisor.stop(order, self.hurry), DEADLINE_SECONDS)


async def test_what_dies_is_started_again_and_the_record_says_so(tmp_path: Path) -> None:
    box = Box(tmp_path, a=UNTIL_EOF)
    box.supervisor.start()
    child = box.supervisor.children["a"]
    await until(lambda: child.pid)
    first = child.pid
    box.supervisor.settle()
    assert box.entry("a") == {"pid": first, "state": "running", "restarts": 0, "started_at": child.started_at}
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: child.pid not in (None, first))
    assert box.lines == ["a ended by SIGKILL; starting it again in 0.5 s"]
    await until(lambda: box.entry("a")["restarts"] == 1)
    await box.stop(["a"])
    assert box.entry("a")["state"] == "stopped"


async def test_what_keeps_failing_is_not_given_up_and_its_log_is_named(tmp_path: Path) -> None:
    box = Box(tmp_path, a="raise SystemExit(3)", b=UNTIL_EOF)
    child = box.supervisor.children["a"]
    child.backoff = Backoff(failures=4)
    box.supervisor.start()
    await until(lambda: child.state == "waiting")
    assert box.lines == [
        "a ended with status 3; starting it again in 8 s (5 times in a row; its log is logs/a.log in the data folder)"
    ]
    await box.stop(["a"], ["b"])


async def test_a_program_that_says_it_cannot_start_ends_the_wait(tmp_path: Path) -> None:
    box = Box(tmp_path, a=f"raise SystemExit({os.EX_CONFIG})", b=UNTIL_EOF)
    box.supervisor.start()
    with pytest.raises(WillNotStart, match="a cannot start"):
        await asyncio.wait_for(box.supervisor.failed, DEADLINE_SECONDS)
    await box.stop(["a"], ["b"])


async def test_the_order_of_ending_is_kept(tmp_path: Path) -> None:
    says = "import signal, sys, time\nsignal.signal(15, lambda *_: (open({0!r}, 'a').write({1!r}), sys.exit()))\n"
    says += "open({2!r}, 'w').close()\nwhile True: time.sleep(1)"
    trace = tmp_path / "trace"
    box = Box(tmp_path, **{name: says.format(str(trace), name, str(tmp_path / name)) for name in "abc"})
    box.supervisor.start()
    await until(lambda: all((tmp_path / name).exists() for name in "abc"))
    # A process may run before whoever starts it knows: one that is ended then is killed.
    await until(lambda: all(child.pid for child in box.supervisor.children.values()))
    await box.stop(["c"], ["a"], ["b"])
    assert trace.read_text() == "cab"


async def test_what_does_not_end_is_killed_at_once_when_somebody_is_in_a_hurry(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = f"import signal, sys; signal.signal(15, signal.SIG_IGN); open({str(ready)!r}, 'w').close(); sys.stdin.read()"
    box = Box(tmp_path, a=code)
    box.supervisor.start()
    await until(ready.exists)
    process = psutil.Process(box.supervisor.children["a"].pid)
    box.hurry.set()
    await box.stop(["a"])
    assert is_gone(process)
    assert box.lines == ["a does not end; killing it"]


async def test_stopping_while_a_restart_waits_starts_nothing_more(tmp_path: Path) -> None:
    box = Box(tmp_path, a="raise SystemExit(3)")
    child = box.supervisor.children["a"]
    box.supervisor.start()
    await until(lambda: child.state == "waiting")
    await box.stop(["a"])
    assert (child.pid, child.restarts, child.state) == (None, 0, "stopped")


async def test_a_full_disk_does_not_take_down_what_runs(tmp_path: Path) -> None:
    box = Box(tmp_path, a=UNTIL_EOF)
    box.record.mkdir()
    box.supervisor.start()
    await until(lambda: box.supervisor.children["a"].pid)
    box.supervisor.settle()
    assert any("cannot write" in line for line in box.lines)
    assert box.supervisor.children["a"].pid
    await box.stop(["a"])
