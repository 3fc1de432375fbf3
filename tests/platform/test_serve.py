"""`manage.py serve`: one command starts everything, and nothing outlives it."""

from __future__ import annotations

import signal
import subprocess
import sys

import httpx
import pytest

from tests.stack import BASE_DIR, Stack, assert_gone, wait_for

pytestmark = pytest.mark.live


def test_the_printed_link_opens_the_login_page_and_every_process_is_well(stack: Stack) -> None:
    link = stack.printed(r"Open\s+(http://\S+/)")[1]
    answer = httpx.get(link, follow_redirects=True, trust_env=False, timeout=30)
    assert answer.status_code == 200
    assert "/login/" in str(answer.url)
    health = httpx.get(f"{stack.url}/healthz", trust_env=False).json()
    assert health["status"] == "ok"
    assert set(health["processes"]) == {"web", "host", "jobs"}


def test_a_second_serve_for_the_same_data_folder_refuses_in_one_line(stack: Stack) -> None:
    done = subprocess.run(
        [sys.executable, str(BASE_DIR / "manage.py"), "serve"],
        env={**stack.environment, "HOSTUI_LIFELINE": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"hostui: already running for {stack.data_dir} (pid {stack.pid('serve')}); its address is on that console"
    ]
    assert stack.healthy()


def test_a_taken_port_ends_serve_with_a_line_that_names_port_program_and_variable(
    stack: Stack, tmp_path: object
) -> None:
    done = subprocess.run(
        [sys.executable, str(BASE_DIR / "manage.py"), "serve"],
        env={**stack.environment, "HOSTUI_LIFELINE": "", "HOSTUI_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"port {stack.port} is taken by" in done.stderr
    assert f"(pid {stack.pid('web')})" in done.stderr
    assert "HOSTUI_PORT" in done.stderr


def test_whatever_is_killed_is_started_again(fresh_stack: Stack) -> None:
    for name in ("web", "host", "jobs"):
        before = fresh_stack.kill(name)
        wait_for(lambda: fresh_stack.pid(name) != before.pid, f"another {name}")  # noqa: B023
        assert fresh_stack.entry(name)["restarts"] == 1
        fresh_stack.wait_healthy()
        fresh_stack.printed(rf"{name} ended by SIGKILL; starting it again in 0\.5 s")
    assert fresh_stack.process is not None
    assert fresh_stack.process.poll() is None


def test_kill_9_of_serve_leaves_no_process_and_the_next_serve_starts_at_once(fresh_stack: Stack) -> None:
    fresh_stack.manage("load", "1")
    assert fresh_stack.workers(), "the test needs a worker that could be left behind"
    before = list(fresh_stack.seen.values())
    fresh_stack.kill("serve")
    fresh_stack.start()
    fresh_stack.wait_healthy()
    assert_gone(before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_ends_in_order_with_a_worker_in_memory(fresh_stack: Stack, number: signal.Signals) -> None:
    if number is signal.SIGINT:
        fresh_stack.manage("load", "1")
        assert fresh_stack.workers()
    assert fresh_stack.stop(number) == 0
    fresh_stack.assert_nothing_is_left()
    assert {fresh_stack.entry(name)["state"] for name in ("web", "host", "jobs")} == {"stopped"}


def test_a_second_start_is_quick(fresh_stack: Stack) -> None:
    fresh_stack.stop()
    fresh_stack.start()
    seconds = float(fresh_stack.printed(r"hostui is ready \(([0-9.]+) s\)")[1])
    assert not any("Preparing the database" in line for line in fresh_stack.lines)
    assert seconds < 30  # the aim is 5 s, and the benchmark's business; this only catches a wait for a time-out
