"""What is to be done about one event, in order, and what is logged of the decisions behind it."""

from __future__ import annotations

from inference.core.scheduling.decisions import Decision
from inference.core.scheduling.events import Decided, Effect


class Outbox:
    """One for a scheduler and its parts. Effects stand in the order in which they were put."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []

    def __len__(self) -> int:
        return len(self._effects)

    def put(self, effect: Effect) -> None:
        self._effects.append(effect)

    def decide(self, now: float, decision: Decision) -> None:
        self.put(Decided(now, decision))

    def empty(self) -> list[Effect]:
        """All that was put since the last time."""
        effects, self._effects = self._effects, []
        return effects
