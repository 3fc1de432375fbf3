"""The facts of the machine that a figure cannot be read without; never its name or address."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = ("tests/bench/results", "README.md", "docs/performance.md")
"""What a measurement changes: none of it makes a working tree another one than its commit."""


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


def commit() -> tuple[str | None, bool | None]:
    """The commit of the working tree and whether the tree differs from it, results of benchmarks aside. None without git."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        status = subprocess.run(
            ["git", "status", "--porcelain", "--", ".", *(f":(exclude){path}" for path in WRITTEN)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    except OSError:
        return None, None
    if head.returncode or status.returncode:
        return None, None
    return head.stdout.strip(), bool(status.stdout.strip())
