"""Measures in moments when the machine is ours, and says how much of it was not.

Other programs' CPU is what all programs used less what this process and its descendants used. Whether a sample is kept is decided by that
figure alone, never by the sample.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

import psutil

MOST_FOREIGN_CORES = 0.05
"""More than this of one core, and the sample is taken again while there is patience left."""
LOOK_SECONDS = 0.5
PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Seconds of CPU since the machine started, and when they were read."""

    at: float
    busy_seconds: float
    """Of all programs, and what a hypervisor took from this machine."""
    own_seconds: float
    """Of this process and its descendants."""

    def foreign_cores(self, since: CpuTimes) -> float:
        """What others used since then, as a number of cores."""
        foreign = (self.busy_seconds - since.busy_seconds) - (self.own_seconds - since.own_seconds)
        return max(foreign, 0.0) / (self.at - since.at)


class Machine(Protocol):
    """What Quiet needs of the machine; tests bring their own."""

    def cpu_times(self) -> CpuTimes: ...

    def sleep(self, seconds: float) -> None: ...


class ThisMachine:
    def __init__(self) -> None:
        _adopt_orphans()

    def cpu_times(self) -> CpuTimes:
        times = psutil.cpu_times()
        me = psutil.Process()
        own = 0.0
        for process in [me, *me.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                used = process.cpu_times()
                # What ended children used was counted while they lived; their parents inherit it.
                own += used.user + used.system + used.children_user + used.children_system
        return CpuTimes(
            at=time.monotonic(),
            busy_seconds=sum(
                getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal")
            ),
            own_seconds=own,
        )

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def _adopt_orphans() -> None:
    """On Linux: a descendant whose parent ends before it becomes a child of this process, and what it used is not lost.

    Such are the renderers of workers that leave: each costs a tenth of a second, which would look like another program's.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Quiet:
    """`measure` until nobody disturbs it, or until the patience for all of a benchmark's samples together is used up."""

    def __init__(self, patience_seconds: float, machine: Machine | None = None) -> None:
        self._patience_seconds = patience_seconds
        self._machine = ThisMachine() if machine is None else machine
        self.foreign_cores: list[float] = []
        """Of each sample that was kept."""
        self.n_repeated = 0

    def measure(self, sample: Callable[[], T]) -> T:
        """What `sample` returns, called again where others used the CPU meanwhile."""
        while True:
            self._wait()
            before = self._machine.cpu_times()
            measured = sample()
            after = self._machine.cpu_times()
            foreign_cores = after.foreign_cores(before)
            if foreign_cores <= MOST_FOREIGN_CORES or self._patience_seconds <= 0:
                self.foreign_cores.append(foreign_cores)
                return measured
            self._patience_seconds -= after.at - before.at
            self.n_repeated += 1

    def _wait(self) -> None:
        """Until a look finds the machine quiet."""
        while self._patience_seconds > 0:
            before = self._machine.cpu_times()
            self._machine.sleep(LOOK_SECONDS)
            after = self._machine.cpu_times()
            if after.foreign_cores(before) <= MOST_FOREIGN_CORES:
                return
            self._patience_seconds -= after.at - before.at

    def summary(self) -> dict[str, float]:
        """For a report: how quiet it was after all."""
        worst = max(self.foreign_cores, default=0.0)
        disturbed = sum(each > MOST_FOREIGN_CORES for each in self.foreign_cores)
        return {
            "samples": len(self.foreign_cores),
            "samples_repeated": self.n_repeated,
            "samples_disturbed": disturbed,
            "most_foreign_cores": round(worst, 3),
        }
