"""Reads the machine: memory, swap, processors, cards. Blocks, briefly; belongs to one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psutil

from inference.host.telemetry.sample import RamReading, Reading
from models_app.hardware.nvidia import GpuReading, Nvml, pci_address


class Machine:
    """This machine. `read` costs a fraction of a millisecond, and some milliseconds a card."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._nvml = Nvml(clock)
        self._group = _limited_group()
        self._swap: tuple[float, int, int] | None = None
        psutil.cpu_percent()  # the first one knows nothing to compare with

    def read(self, pids: Iterable[int], bus_ids: Mapping[str, str]) -> Reading:
        """`pids`: our workers; `bus_ids`: of the cards in this machine, by our names."""
        available = psutil.virtual_memory().available
        headroom = None if self._group is None else group_headroom_bytes(self._group)
        swap_in, swap_out = self._swap_rates()
        return Reading(
            RamReading(
                available_bytes=available if headroom is None else min(available, headroom),
                cpu_percent=psutil.cpu_percent(),
                swap_in_bytes_per_second=swap_in,
                swap_out_bytes_per_second=swap_out,
                private_bytes={pid: n for pid in pids if (n := _private_bytes(pid)) is not None},
            ),
            self._gpus(bus_ids),
        )

    def close(self) -> None:
        self._nvml.close()

    def _gpus(self, bus_ids: Mapping[str, str]) -> dict[str, GpuReading]:
        if not bus_ids:
            return {}
        cards = {card.bus_id: card for card in self._nvml.read() if card.bus_id is not None}
        places = {device: pci_address(bus_id) for device, bus_id in bus_ids.items()}
        return {device: cards[place] for device, place in places.items() if place in cards}

    def _swap_rates(self) -> tuple[float | None, float | None]:
        now, swap = self._clock(), psutil.swap_memory()
        before, self._swap = self._swap, (now, swap.sin, swap.sout)
        if before is None or now <= before[0]:
            return None, None
        seconds = now - before[0]
        return (swap.sin - before[1]) / seconds, (swap.sout - before[2]) / seconds


def _private_bytes(pid: int) -> int | None:
    """None once the process is gone."""
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:
        return None
    shared: int = getattr(memory, "shared", 0)  # not told on macOS
    return max(0, int(memory.rss) - shared)


def _limited_group() -> Path | None:
    """The folder of this process's control group where that has a limit of memory."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        group = next(line.split(":", 2)[2] for line in lines if line.startswith("0::"))
        folder = Path("/sys/fs/cgroup" + group)
        return None if (folder / "memory.max").read_text().strip() == "max" else folder
    except (OSError, StopIteration):
        return None


def group_headroom_bytes(group: Path) -> int | None:
    """What the control group has left below its limit; None without a limit."""
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # The file cache is given back on demand; files in memory alone are not.
        cached = max(0, int(stat["file"]) - int(stat.get("shmem", 0)))
        return None if limit == "max" else max(0, int(limit) - used + cached)
    except (OSError, KeyError, ValueError):
        return None
