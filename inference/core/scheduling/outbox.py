"""What is to be done about one event, in order, and what is logged of the decisions behind it."""

from __future__ import annotations

from typing import Any

from inference.core.scheduling.events import Decided, DecisionKind, Effect


class Outbox:
    """One for a scheduler and its parts. Effects stand in the order in which they were put."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []

    def __len__(self) -> int:
        return len(self._effects)

    def put(self, effect: Effect) -> None:
        self._effects.append(effect)

    def decide(self, now: float, kind: DecisionKind, variant_id: int | None, **facts: Any) -> None:
        self.put(Decided(now, kind, variant_id, facts))

    def empty(self) -> list[Effect]:
        """All that was put since the last time."""
        effects, self._effects = self._effects, []
        return effects
