"""The log of decisions: what the host did with memory, and why."""

from __future__ import annotations

import logging
import time
from collections import deque

from inference.core.scheduling.events import Decided
from inference.host.api.messages import Decision, Mention
from inference.wording.decisions import decision
from inference.wording.waits_and_refusals import DeviceName, Name

logger = logging.getLogger(__name__)

MOST_KEPT = 500


class DecisionLog:
    """Keeps the last MOST_KEPT, worded when they were made: names may change later. Each is written to the log too."""

    def __init__(self, name: Name) -> None:
        self._name = name
        self._kept: deque[Decision] = deque(maxlen=MOST_KEPT)
        self._number = 0

    def add(self, decided: Decided, device_name: DeviceName) -> None:
        self._number += 1
        named: dict[int, str] = {}

        def name(variant_id: int) -> str:
            return named.setdefault(variant_id, self._name(variant_id))

        sentence = decision(decided, name, device_name)
        variant = None if decided.variant_id is None else name(decided.variant_id)
        self._kept.append(
            {
                "number": self._number,
                "at": time.time(),
                "kind": decided.kind,
                "variant_id": decided.variant_id,
                "variant": variant,
                "sentence": sentence,
                "mentions": [Mention(variant_id=each, name=called) for each, called in named.items()],
                "facts": decided.facts,
            }
        )
        logger.info(
            "decided",
            extra={"event": "decided", "kind": decided.kind, "variant": variant, "sentence": sentence},
        )

    def latest(self) -> list[Decision]:
        """Newest last."""
        return list(self._kept)
