"""The facts behind each decision, as the log keeps them. Words are made of them at the edge."""

from __future__ import annotations

from typing import Any

from inference.core.scheduling.admission import Leave
from inference.core.scheduling.residency import Departure, Residency
from inference.core.scheduling.way_choice import Choice


def of_load(residency: Residency, choice: Choice, waiting: int) -> dict[str, Any]:
    ways = residency.ways
    return {
        "options": choice.way.options.to_json(),
        "bytes_by_device": dict(choice.way.bytes_by_device),
        "rank": choice.rank,
        "ways": len(ways),
        "worth": choice.way.score,
        "best_worth": ways[0].score,
        "why": choice.why,
        "waiting": waiting,
        "load_seconds": residency.reload_seconds,
    }


def of_leaving(residency: Residency, departure: Departure, leave: Leave | None, now: float) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "departure": departure,
        "bytes_by_device": dict(residency.bytes_by_device),
        "idle_seconds": None if residency.leases or residency.state == "loading" else max(0.0, now - residency.used_at),
        "answers": len(residency.leases),
    }
    if leave is not None:
        facts |= {
            "for_variant": leave.for_variant,
            "reload_seconds": residency.reload_seconds,
            "likelihood": residency.use.likelihood(now),
            "cost_seconds": residency.eviction_cost_seconds(now),
            "spared": [list(each) for each in leave.spared],
        }
        if leave.shortage is not None:
            facts |= {"device": leave.shortage.device, "excess_bytes": leave.shortage.excess_bytes}
    return facts


def of_failure(residency: Residency) -> dict[str, Any]:
    failure = residency.failure
    assert failure is not None
    return {
        "reason": failure.reason,
        "detail": failure.detail,
        "failures_in_a_row": residency.failures_in_a_row,
    }
