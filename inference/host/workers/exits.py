"""Why a worker process ended, from its exit status, its last words and the kernel's counters."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from inference.core.scheduling.memory.residency import Failure

_OUT_OF_MEMORY = re.compile(
    r"out of memory|bad_alloc|failed to allocate|unable to allocate|cannot allocate memory|MemoryError", re.IGNORECASE
)
_BUILD_FOLDER = re.compile(r"/\S*?/(?=ggml/|src/)")
"""Where llama.cpp was compiled: its messages begin with the whole path of the source."""


def oom_kills() -> int | None:
    """How many processes the kernel has killed for want of memory: in our control group, else on the whole machine.

    None where the kernel does not say (not Linux).
    """
    try:
        group = next(
            line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:3] == "0::"
        )
        events = Path("/sys/fs/cgroup" + group) / "memory.events"
        return _counter(events.read_text())
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return _counter(Path("/proc/vmstat").read_text())
    except (OSError, StopIteration, ValueError):
        return None


def _counter(text: str) -> int:
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))


def failure_of(returncode: int, tail: list[str], oom_killed: bool) -> Failure:
    """A negative `returncode` is a signal; `tail` are the last lines of the worker's log.

    `oom_killed`: the kernel's counter rose while the worker lived.
    """
    # Its own log lines are JSON; what llama.cpp or Python says last is not.
    last = next((line.strip() for line in reversed(tail) if line.strip() and not line.startswith('{"time"')), "")
    said = f" Its last line: {_BUILD_FOLDER.sub('', last)[:300]}" if last else ""
    if returncode == -signal.SIGKILL:
        if oom_killed:
            return Failure("out_of_memory", "The system ran out of memory and ended the worker.")
        return Failure("killed", "The worker was killed from outside (signal 9).")
    lacking = next((line.strip() for line in tail[-20:] if _OUT_OF_MEMORY.search(line)), None)
    if lacking is not None:
        # What follows that line is where in llama.cpp it happened.
        detail = f"The worker could not get the memory it needed. It said: {_BUILD_FOLDER.sub('', lacking)[:300]}"
        return Failure("out_of_memory", detail)
    if returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = f"signal {-returncode}"
        told = -returncode in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        return Failure("killed" if told else "crashed", f"The worker ended by {name}.{said}")
    return Failure("crashed", f"The worker ended by itself (exit status {returncode}).{said}")
