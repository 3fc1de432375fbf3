"""How fast this machine reads its memory.

python -m models_app.hardware.bandwidth          reads for about half a second and prints bytes per second
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

_BUFFER_BYTES = 96 * 1024 * 1024
"""Per thread; together more than processor caches hold."""
_MOST_THREADS = 8
_SECONDS = 0.5


def measured_bandwidth(timeout_seconds: float = 20) -> int | None:
    """Bytes per second, measured in a child process. None where that fails. Blocks for about a second."""
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "models_app.hardware.bandwidth"],
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            cwd=root,
            env={"PATH": os.environ.get("PATH", "")},
        )
        return int(done.stdout) or None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def _read(deadline: float, counts: list[int], number: int, start: threading.Barrier) -> None:
    search = ctypes.CDLL(None).memchr
    search.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    search.restype = ctypes.c_void_p
    buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    # Pages that were never written all show the same page of zeros, out of the cache.
    ctypes.memset(buffer, 1, _BUFFER_BYTES)
    start.wait()
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        search(buffer, 2, _BUFFER_BYTES)
        counts[number] += _BUFFER_BYTES


def main() -> None:
    n_threads = min(_MOST_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)
    counts = [0] * n_threads
    start = threading.Barrier(n_threads + 1)
    threads = [
        threading.Thread(target=_read, args=(_SECONDS, counts, number, start), daemon=True)
        for number in range(n_threads)
    ]
    for thread in threads:
        thread.start()
    start.wait()
    started = time.monotonic()
    for thread in threads:
        thread.join()
    print(int(sum(counts) / (time.monotonic() - started)))


if __name__ == "__main__":
    main()
