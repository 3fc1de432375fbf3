"""The facts of the machine that a figure cannot be read without; never its name or address."""

from __future__ import annotations

import platform
import resource
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]


def physical_cores() -> int:
    """What both sides use as `n_threads`: hyper-threads do not help a decode."""
    return psutil.cpu_count(logical=False) or psutil.cpu_count() or 1


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listed.stdout.splitlines() if listed.returncode == 0 else []


def facts() -> dict[str, Any]:
    return {
        "cpu": _cpu_name(),
        "cores": physical_cores(),
        "hardware_threads": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": _gpus(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "llama_cpp_python": version("llama-cpp-python"),
    }


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Seconds of CPU since the machine started: of all programs, of this one with the children it has waited for, and stolen."""

    at: float
    busy_seconds: float
    own_seconds: float
    stolen_seconds: float

    @classmethod
    def now(cls) -> CpuTimes:
        times = psutil.cpu_times()
        own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return cls(
            at=time.monotonic(),
            busy_seconds=sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq")),
            own_seconds=sum(each.ru_utime + each.ru_stime for each in own),
            stolen_seconds=getattr(times, "steal", 0.0),
        )

    def foreign_percent(self, since: CpuTimes) -> dict[str, float]:
        """What other programs, and other machines on the same hardware, took since then; in per cent of one core."""
        seconds = self.at - since.at
        foreign = (self.busy_seconds - since.busy_seconds) - (self.own_seconds - since.own_seconds)
        stolen = self.stolen_seconds - since.stolen_seconds
        return {
            "foreign_cpu_percent": round(100 * max(foreign, 0.0) / seconds, 1),
            "stolen_cpu_percent": round(100 * stolen / seconds, 1),
        }


def commit() -> tuple[str | None, bool | None]:
    """The commit of the working tree and whether the tree differs from it, results of benchmarks aside. None without git."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        status = subprocess.run(
            ["git", "status", "--porcelain", "--", ".", ":(exclude)tests/bench/results", ":(exclude)README.md"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    except OSError:
        return None, None
    if head.returncode or status.returncode:
        return None, None
    return head.stdout.strip(), bool(status.stdout.strip())
