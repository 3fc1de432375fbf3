"""How many threads decode, found out while decoding.

Between the layers of a model all threads wait for each other, spinning. Where something else wants the same cores, a second
variant most of all, each wait lasts until the scheduler brings the missing thread back: measured, two variants with two
threads each on two cores made 3 to 9 tokens/s, with one thread each 64. No count is right for both a quiet machine and a
busy one, so the count follows what is measured.
"""

from __future__ import annotations

BUSY_SWITCHES_PER_SECOND = 20.0
"""Involuntary context switches from which others are taken to want the cores. A quiet machine shows none."""
FIRST_HOLD_SECONDS = 2.0
LONGEST_HOLD_SECONDS = 30.0

_WINDOW_SECONDS = 0.25
_WINDOW_STEPS = 4
_LONGEST_WINDOW_SECONDS = 1.0
_WORTH_CHANGING = 0.9
_SUDDENLY_SLOW = 2.0
_HOPELESS = 3.0


class _StepWindow:
    """Steps of equal size, one after the other."""

    def __init__(self, n_tokens: int) -> None:
        self.n_tokens = n_tokens
        self.n_steps = 0
        self.seconds = 0.0
        self.n_switches = 0

    def add(self, seconds: float, n_switches: int) -> None:
        self.n_steps += 1
        self.seconds += seconds
        self.n_switches += n_switches

    @property
    def full(self) -> bool:
        enough = self.n_steps >= _WINDOW_STEPS and self.seconds >= _WINDOW_SECONDS
        return enough or self.seconds >= _LONGEST_WINDOW_SECONDS

    @property
    def seconds_per_step(self) -> float:
        return self.seconds / self.n_steps


class ThreadCount:
    """Tries half as many threads where others want the cores, twice as many later, and keeps what is faster.

    `current` holds for the next step. On a quiet machine nothing is ever tried.
    """

    def __init__(self, most: int) -> None:
        self._counts = [most]
        while self._counts[-1] > 1:
            self._counts.append(self._counts[-1] // 2)
        self._level = 0
        self._window: _StepWindow | None = None
        self._settled: _StepWindow | None = None
        self._before_trial: tuple[int, _StepWindow] | None = None
        self._skips = False
        self._tries_more = True
        self._hold_seconds = FIRST_HOLD_SECONDS
        self._next_trial_at = 0.0

    @property
    def current(self) -> int:
        """How many threads the next step takes."""
        return self._counts[self._level]

    def note(self, n_tokens: int, seconds: float, n_switches: int, now: float) -> None:
        """Takes in a finished step without prefill: its tokens, its time, and the process's involuntary switches in it."""
        if self._skips:
            # The first step with another count also pays for the change.
            self._skips = False
            return
        if self._before_trial is not None:
            self._judge(*self._before_trial, n_tokens, seconds, n_switches, now)
            return
        window = self._add(n_tokens, seconds, n_switches)
        if not window.full:
            return
        self._window = None
        settled, self._settled = self._settled, window
        suddenly_slow = (
            settled is not None
            and settled.n_tokens == n_tokens
            and window.seconds_per_step > _SUDDENLY_SLOW * settled.seconds_per_step
        )
        if now < self._next_trial_at and not suddenly_slow:
            return
        busy = window.n_switches / window.seconds > BUSY_SWITCHES_PER_SECOND
        fewer = self._level + 1 if busy and self._level + 1 < len(self._counts) else None
        more = self._level - 1 if self._level > 0 else None
        level = more if fewer is None or (more is not None and self._tries_more) else fewer
        if level is not None:
            self._tries_more = level > self._level
            self._before_trial = (self._level, window)
            self._switch_to(level)

    def _add(self, n_tokens: int, seconds: float, n_switches: int) -> _StepWindow:
        if self._window is None or self._window.n_tokens != n_tokens:
            self._window = _StepWindow(n_tokens)
        self._window.add(seconds, n_switches)
        return self._window

    def _judge(
        self, level: int, before: _StepWindow, n_tokens: int, seconds: float, n_switches: int, now: float
    ) -> None:
        if n_tokens != before.n_tokens:
            # Someone came or went: the two can no longer be compared.
            self._end_trial(level, now)
            return
        window = self._add(n_tokens, seconds, n_switches)
        if window.full or seconds > _HOPELESS * before.seconds_per_step:
            if window.seconds_per_step < _WORTH_CHANGING * before.seconds_per_step:
                self._settled = window
                self._hold_seconds = FIRST_HOLD_SECONDS
                self._end_trial(self._level, now)
            else:
                self._hold_seconds = min(2 * self._hold_seconds, LONGEST_HOLD_SECONDS)
                self._end_trial(level, now)

    def _end_trial(self, level: int, now: float) -> None:
        self._before_trial = None
        self._next_trial_at = now + self._hold_seconds
        self._switch_to(level)

    def _switch_to(self, level: int) -> None:
        self._skips = level != self._level
        self._level = level
        self._window = None
