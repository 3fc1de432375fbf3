"""Samples are repeated while others use the CPU, and only as long as there is patience."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.bench.quiet import CpuTimes, Quiet
from tests.conftest import BASE_DIR


class Machine:
    """One core's worth of time, in which others take the given shares, one share per look or sample."""

    def __init__(self, foreign_shares: Sequence[float]) -> None:
        self._shares = list(foreign_shares)
        self._now = CpuTimes(0.0, 0.0, 0.0)
        self.n_samples = 0

    def cpu_times(self) -> CpuTimes:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._pass(seconds, own=0.0)

    def sample(self) -> int:
        self.n_samples += 1
        self._pass(2.0, own=0.9)
        return self.n_samples

    def _pass(self, seconds: float, own: float) -> None:
        foreign = self._shares.pop(0)
        self._now = CpuTimes(
            self._now.at + seconds,
            self._now.busy_seconds + seconds * (own + foreign),
            self._now.own_seconds + seconds * own,
        )


def test_an_undisturbed_sample_is_kept_at_once() -> None:
    machine = Machine([0.0, 0.0])
    quiet = Quiet(60.0, machine)
    assert quiet.measure(machine.sample) == 1
    assert quiet.summary() == {
        "samples": 1,
        "samples_repeated": 0,
        "samples_disturbed": 0,
        "most_foreign_cores": 0.0,
    }


def test_a_sample_waits_until_the_others_rest() -> None:
    machine = Machine([0.8, 0.8, 0.0, 0.0])
    assert Quiet(60.0, machine).measure(machine.sample) == 1


def test_a_disturbed_sample_is_taken_again() -> None:
    machine = Machine([0.0, 0.5, 0.0, 0.02])
    quiet = Quiet(60.0, machine)
    assert quiet.measure(machine.sample) == 2
    assert quiet.summary()["samples_repeated"] == 1
    assert quiet.summary()["samples_disturbed"] == 0


def test_without_patience_a_disturbed_sample_is_kept_and_counted() -> None:
    machine = Machine([0.7])
    quiet = Quiet(0.0, machine)
    assert quiet.measure(machine.sample) == 1
    assert quiet.summary()["samples_disturbed"] == 1
    assert quiet.summary()["most_foreign_cores"] == 0.7


def test_patience_is_for_all_samples_together() -> None:
    machine = Machine([1.0] * 5)
    quiet = Quiet(1.0, machine)  # two looks of half a second
    assert quiet.measure(machine.sample) == 1
    assert quiet.measure(machine.sample) == 2


def test_our_own_work_does_not_count_as_others() -> None:
    before, after = CpuTimes(0.0, 10.0, 4.0), CpuTimes(2.0, 13.0, 7.0)
    assert after.foreign_cores(before) == 0.0


OURSELVES = """
import os, subprocess, sys
from tests.bench.quiet import ThisMachine

ORPHAN = "import time\\nwhile time.process_time() < 0.5: pass"
PARENT = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid)"
machine = ThisMachine()
before = machine.cpu_times()
parent = subprocess.run([sys.executable, "-c", PARENT, ORPHAN], stdout=subprocess.PIPE, text=True, check=True)
os.waitid(os.P_PID, int(parent.stdout), os.WEXITED | os.WNOWAIT)
print(machine.cpu_times().own_seconds - before.own_seconds)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans on to a grandparent")
def test_what_our_own_orphans_use_is_ours() -> None:
    told = subprocess.run(
        [sys.executable, "-c", OURSELVES], cwd=BASE_DIR, stdout=subprocess.PIPE, text=True, check=True
    )
    assert float(told.stdout) >= 0.5
