"""Measures in moments when the machine is ours, and says how much of it was not.

Other programs' CPU is what the machine used less what this process and its descendants used, and less what the kernel's own threads used: these
work for whoever gives them work, such as the one that hands pages back that the benchmark itself has just freed. Whether a sample is kept is
decided by that figure alone, never by the sample.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

import psutil

MOST_FOREIGN_CORES = 0.05
"""More than this of one core, and the sample is taken again while there is patience left."""
LOOK_SECONDS = 0.5
KTHREADD_PID = 2
"""Of the parent of Linux's kernel threads."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Seconds of CPU since the machine started, and when they were read."""

    at: float
    busy_seconds: float
    """Of all programs, and what a hypervisor took from this machine."""
    own_seconds: float
    """Of this process and its descendants that live."""
    kernel_seconds: float = 0.0
    """Of the kernel's own threads; 0 where they are not to be seen."""

    def foreign_cores(self, since: CpuTimes) -> float:
        """What others used since then, as a number of cores."""
        foreign = (
            (self.busy_seconds - since.busy_seconds)
            - (self.own_seconds - since.own_seconds)
            - self.kernel_cores(since) * (self.at - since.at)
        )
        return max(foreign, 0.0) / (self.at - since.at)

    def kernel_cores(self, since: CpuTimes) -> float:
        """What the kernel's own threads used since then, as a number of cores."""
        return max(self.kernel_seconds - since.kernel_seconds, 0.0) / (self.at - since.at)


class Machine(Protocol):
    """What Quiet needs of the machine; tests bring their own."""

    def cpu_times(self) -> CpuTimes: ...

    def sleep(self, seconds: float) -> None: ...


class ThisMachine:
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
            kernel_seconds=_kernel_seconds(),
        )

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def _kernel_seconds() -> float:
    """Of kthreadd's children: threads that show as processes."""
    used = 0.0
    with suppress(psutil.NoSuchProcess):
        kernel = psutil.Process(KTHREADD_PID)
        if kernel.name() == "kthreadd":
            for thread in kernel.children():
                with suppress(psutil.NoSuchProcess):
                    used += thread.cpu_times().system
    return used


class Quiet:
    """`measure` until nobody disturbs it, or until the patience for all of a benchmark's samples together is used up."""

    def __init__(self, patience_seconds: float, machine: Machine | None = None) -> None:
        self._patience_seconds = patience_seconds
        self._machine = ThisMachine() if machine is None else machine
        self.foreign_cores: list[float] = []
        """Of each sample that was kept."""
        self.kernel_cores: list[float] = []
        """The same samples."""
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
                self.kernel_cores.append(after.kernel_cores(before))
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
            "most_kernel_cores": round(max(self.kernel_cores, default=0.0), 3),
        }
