"""What this machine can spare, where the owner has set no budget."""

from __future__ import annotations

from pathlib import Path

SHARE_OF_AVAILABLE = 0.8
"""The rest is for the system, the page and the file cache of everything else."""


def default_budget_bytes() -> int:
    """A share of the memory that is available now, within this process's control group."""
    import psutil  # needed once

    available = psutil.virtual_memory().available
    limit = _group_headroom_bytes()
    return int(SHARE_OF_AVAILABLE * (available if limit is None else min(available, limit)))


def _group_headroom_bytes() -> int | None:
    """What the control group has left below its limit; None without a limit."""
    try:
        group = next(
            line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:3] == "0::"
        )
        folder = Path("/sys/fs/cgroup" + group)
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        # The file cache is given back on demand.
        cached = next(
            int(line.split()[1]) for line in (folder / "memory.stat").read_text().splitlines() if line[:5] == "file "
        )
        return None if limit == "max" else max(0, int(limit) - used + cached)
    except (OSError, StopIteration, ValueError):
        return None
