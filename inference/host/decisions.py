"""The log of decisions: what the host did with memory, and why."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.decisions import mentioned
from inference.core.scheduling.events import Decided
from inference.host.api.messages import LoggedDecision, Mention
from inference.host.api.wire import to_json

logger = logging.getLogger(__name__)

MOST_KEPT = 500


class DecisionLog:
    """Keeps the last MOST_KEPT, with what each variant was called then. Each is written to the log too."""

    def __init__(self, name: Callable[[ResidentId], str]) -> None:
        self._name = name
        self._kept: deque[LoggedDecision] = deque(maxlen=MOST_KEPT)
        self._number = 0

    def add(self, decided: Decided) -> None:
        self._number += 1
        decision = decided.decision
        mentions = [_mention(each, self._name(each)) for each in dict.fromkeys(mentioned(decision))]
        self._kept.append({"number": self._number, "at": time.time(), "decision": decision, "mentions": mentions})
        logger.info(
            "decided",
            extra={
                "event": "decided",
                "kind": decision.kind,
                "variant": None if decision.resident_id is None else self._name(decision.resident_id),
                "decision": to_json(decision),
            },
        )

    def latest(self) -> list[LoggedDecision]:
        """Newest last."""
        return list(self._kept)


def _mention(resident_id: ResidentId, name: str) -> Mention:
    return {"variant_id": resident_id.variant_id, "purpose": resident_id.purpose, "name": name}
