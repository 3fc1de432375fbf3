"""The machine this runs on, as a profile."""

from __future__ import annotations

from pathlib import Path

import psutil

from models_app.hardware.bandwidth import measured_bandwidth
from models_app.hardware.nvidia import nvidia_gpus
from models_app.hardware.profile import Device, Profile

NAME = "this machine"


def detect(*, ram_bandwidth_bytes_per_second: int | None = None) -> Profile:
    """Blocks for about a second to measure the RAM's bandwidth, unless it is told."""
    memory_bytes = psutil.virtual_memory().total
    limit_bytes = _group_limit_bytes()
    return Profile(
        NAME,
        Device(
            "RAM",
            "ram",
            memory_bytes if limit_bytes is None else min(memory_bytes, limit_bytes),
            ram_bandwidth_bytes_per_second or measured_bandwidth(),
        ),
        nvidia_gpus(),
        psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
    )


def _group_limit_bytes() -> int | None:
    """What this process's control group may use; None without a limit."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        group = next(line.split(":", 2)[2] for line in lines if line.startswith("0::"))
        limit = Path("/sys/fs/cgroup" + group, "memory.max").read_text().strip()
        return None if limit == "max" else int(limit)
    except (OSError, StopIteration, ValueError):
        return None
