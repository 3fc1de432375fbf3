"""What set-up tells: one line a step, and how far a long one is."""

from __future__ import annotations

import sys
import time

QUIET_STEP_SECONDS = 15.0
"""Where the line cannot be rewritten (a log file), a new one appears this often."""


def say(line: str) -> None:
    print(line, flush=True)


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class ProgressLine:
    """One line that is rewritten on a terminal, and repeated now and then elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._shown_at = time.monotonic()
        self._rewrites = sys.stdout.isatty()

    def show(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._rewrites and done < total and now - self._shown_at < QUIET_STEP_SECONDS:
            return
        self._shown_at = now
        line = f"  {self._what}: {100 * done // max(total, 1):3d} % ({done}/{total}), {clock(now - self._began)}"
        print(f"\r{line}\x1b[K" if self._rewrites else line, end="" if self._rewrites else "\n", flush=True)

    def finish(self, word: str) -> None:
        line = f"  {self._what}: {word} in {clock(time.monotonic() - self._began)}"
        print(f"\r{line}\x1b[K" if self._rewrites else line, flush=True)
