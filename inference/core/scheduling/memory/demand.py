"""How a variant is used: how likely it is wanted again, and who comes back to it within moments."""

from __future__ import annotations

from dataclasses import dataclass, field

HALF_LIFE_SECONDS = 600.0
"""A use counts half after ten minutes, a quarter after twenty."""
LINGER_FACTOR = 2.0
LINGER_SLACK_SECONDS = 0.05
"""Somebody who came back after g seconds is waited for LINGER_FACTOR × g + LINGER_SLACK_SECONDS: scheduling alone takes some ms."""
_MOST_PEOPLE_REMEMBERED = 64


@dataclass(slots=True)
class _Returns:
    """One person's: when the last answer ended, and the last two times until the next request."""

    left_at: float | None = None
    gaps_seconds: tuple[float, ...] = ()


@dataclass(slots=True)
class Demand:
    """Of one variant. All times are the events'."""

    used_at: float = 0.0
    """When a lease last began or ended, or when the worker became ready."""
    expected_back_until: float = 0.0
    """Whoever has just left is expected back until then."""
    _heat: float = 0.0
    _returns: dict[str, _Returns] = field(default_factory=dict)

    def likelihood(self, now: float) -> float:
        """Of at least one more use within the next HALF_LIFE_SECONDS, 0 to 1: recency and frequency in one number.

        Each use adds 1 to a heat that halves every HALF_LIFE_SECONDS. Of uses that come at a constant rate λ, the heat
        settles at λ × HALF_LIFE_SECONDS / ln 2; so heat h means h × ln 2 expected uses in the next half life, and at least one
        of them (Poisson) with likelihood 1 - exp(-h × ln 2) = 1 - 2^-h. Time under lease doesn't count as idleness.
        """
        return float(1.0 - 2.0 ** -self._heat_at(now))

    def asked(self, now: float, user: str) -> None:
        """`user` wants a lease: how soon after the last one?"""
        known = self._returns.get(user)
        if known is not None and known.left_at is not None:
            known.gaps_seconds = (*known.gaps_seconds[-1:], now - known.left_at)
            known.left_at = None

    def began(self, now: float) -> None:
        """A lease was granted, or the variant was loaded by hand."""
        self._heat = self._heat_at(now) + 1.0
        self.used_at = max(self.used_at, now)
        self.expected_back_until = 0.0

    def ended(self, now: float, user: str, reload_seconds: float) -> None:
        """`user`'s lease ended. Who came back quickly the last times is expected back, but for no longer than a reload takes."""
        self.used_at = now
        known = self._returns.pop(user, None) or _Returns()
        known.left_at = now
        self._returns[user] = known
        if len(self._returns) > _MOST_PEOPLE_REMEMBERED:
            del self._returns[next(iter(self._returns))]
        gap_seconds = max(known.gaps_seconds, default=None)
        if gap_seconds is not None and gap_seconds <= reload_seconds:
            linger_seconds = min(LINGER_FACTOR * gap_seconds + LINGER_SLACK_SECONDS, reload_seconds)
            self.expected_back_until = max(self.expected_back_until, now + linger_seconds)

    def _heat_at(self, now: float) -> float:
        return self._heat * float(2.0 ** (-max(0.0, now - self.used_at) / HALF_LIFE_SECONDS))
