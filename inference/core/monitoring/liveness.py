"""Whether a worker is still alive, judged by what it reports. Liveness is a generated token, not an open socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["timed_out", "hung"]


@dataclass(frozen=True, slots=True)
class Limits:
    load_seconds: float = 600.0
    """A load may stand still this long."""
    step_seconds: float = 600.0
    """One decode step may take this long. The engine aims at half a second, but nobody knows what the first chunk of the first
    prompt costs: 512 tokens of a 70B model are 7e13 operations, five minutes for a CPU that makes 250 GFLOP/s."""
    silence_seconds: float = 60.0
    """After this long without a report, a ready worker is asked for a token."""
    pong_seconds: float = 20.0
    """It has this long to generate it."""


class Liveness:
    """The clockless watch over one worker. All times are the caller's `now`, in seconds."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._heard_at = now
        self._fraction = 0.0
        self._is_ready = False
        self._pinged_at: float | None = None
        self._step_age_seconds = 0.0

    def loading(self, now: float, fraction: float) -> None:
        """Only progress counts: a loader that repeats itself stands still."""
        if fraction > self._fraction:
            self._fraction = fraction
            self._heard_at = now

    def ready(self, now: float) -> None:
        self._is_ready = True
        self._heard_at = now

    def stats(self, now: float, step_age_seconds: float | None) -> None:
        self._heard_at = now
        self._step_age_seconds = step_age_seconds or 0.0

    def pinged(self, now: float) -> None:
        self._pinged_at = now

    def ponged(self, now: float) -> None:
        self._pinged_at = None
        self._heard_at = now

    def wants_ping(self, now: float) -> bool:
        return self._is_ready and self._pinged_at is None and now >= self._heard_at + self._limits.silence_seconds

    def verdict(self, now: float) -> Verdict | None:
        """None: as far as can be told, it lives."""
        if not self._is_ready:
            return "timed_out" if now >= self._heard_at + self._limits.load_seconds else None
        if self._step_age_seconds >= self._limits.step_seconds:
            return "hung"
        if self._pinged_at is not None and now >= self._pinged_at + self._limits.pong_seconds:
            return "hung"
        return None

    def next_deadline(self) -> float:
        """When to look again, if nothing is heard before."""
        if not self._is_ready:
            return self._heard_at + self._limits.load_seconds
        if self._pinged_at is not None:
            return self._pinged_at + self._limits.pong_seconds
        return self._heard_at + self._limits.silence_seconds
