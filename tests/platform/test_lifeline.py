"""A child ends when its supervisor is gone, whatever it is doing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hostui.box import locks
from tests.stack import BASE_DIR

WAITS = (
    "from hostui.box import lifeline; lifeline.hold(); print('up', flush=True)\nimport time\nwhile True: time.sleep(60)"
)
DEADLINE_SECONDS = 20


def start(code: str, **variables: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=BASE_DIR,
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def test_the_end_of_standard_input_is_sigterm() -> None:
    with start(WAITS, HOSTUI_LIFELINE="stdin") as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(DEADLINE_SECONDS) == -15


def test_one_that_ignores_sigterm_ends_all_the_same() -> None:
    code = "import signal; signal.signal(15, signal.SIG_IGN)\nfrom hostui.box import lifeline; lifeline.GRACE_SECONDS = 0.1\n"
    with start(code + WAITS, HOSTUI_LIFELINE="stdin") as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(DEADLINE_SECONDS) == 1


def test_by_hand_standard_input_means_nothing() -> None:
    code = WAITS.replace("while True: time.sleep(60)", "print('still', flush=True)\ntime.sleep(60)")
    with start(code) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        assert process.stdout.readline() == "still\n"
        assert process.poll() is None
        process.kill()


def test_what_a_child_starts_does_not_inherit_the_lifeline() -> None:
    code = "import os\nfrom hostui.box import lifeline; lifeline.hold()\nprint('up', flush=True); print(os.environ.get('HOSTUI_LIFELINE'))"
    with start(code, HOSTUI_LIFELINE="stdin") as process:
        assert process.stdout is not None
        assert process.stdout.read() == "None\n"


def test_a_lock_is_held_by_one_and_named(tmp_path: Path) -> None:
    path = tmp_path / "web.lock"
    descriptor = locks.hold(path)
    with pytest.raises(locks.LockHeld) as raised:
        locks.hold(path)
    assert raised.value.pid == os.getpid()
    os.close(descriptor)
    os.close(locks.hold(path))


def test_a_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "web.lock"
    code = f"from pathlib import Path; from hostui.box import locks; locks.hold(Path({str(path)!r})); print('up', flush=True)\nimport time; time.sleep(60)"
    with start(code) as process:
        with pytest.raises(locks.LockHeld) as raised:
            locks.hold(path)
        assert raised.value.pid == process.pid
        process.kill()
        os.close(locks.hold(path, wait_seconds=DEADLINE_SECONDS))
