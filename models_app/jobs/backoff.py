"""How long a failed attempt waits before the next. Pure."""

from __future__ import annotations

FIRST_SECONDS = 2.0
LONGEST_SECONDS = 300.0
MOST_ATTEMPTS = 10
"""In a row, without getting any further: about half an hour."""


def delay_seconds(attempts: int, jitter: float, after_seconds: float | None = None) -> float:
    """How long to wait after so many failed attempts in a row (1 is the first).

    `jitter`, from 0 to 1, spreads jobs that failed together over the upper half of the delay. Never shorter than
    `after_seconds`, which a server may have asked for.
    """
    doubled = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(attempts - 1, 16))
    return max(doubled * (0.5 + 0.5 * jitter), after_seconds or 0.0)


def gives_up(attempts: int) -> bool:
    return attempts >= MOST_ATTEMPTS
