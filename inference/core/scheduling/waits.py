"""What everybody who waits is told: a position and a reason, or the stage that the variant has reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.admission import by_resident
from inference.core.scheduling.fair_turns import FairTurns, Request
from inference.core.scheduling.memory.residency import Residency
from inference.core.scheduling.reasons import ForEviction, ForLoading, InQueue, Reason, Wait


def waits(
    waiting: Sequence[Request],
    residencies: Mapping[ResidentId, Residency],
    blocked: Mapping[ResidentId, Reason | ForEviction],
    turns: FairTurns,
    now: float,
) -> dict[int, tuple[int, Wait]]:
    """Ticket → (position from 1, what for).

    Each resident or loading variant has a line of its own. Variants that must still be loaded share one, in the
    order of `blocked`: those who wait for the first go before all others.
    """
    told: dict[int, tuple[int, Wait]] = {}
    groups = by_resident(waiting)
    for resident_id, requests in groups.items():
        residency = residencies[resident_id]
        if residency.state not in ("loading", "resident"):
            continue
        loading = ForLoading(residency.fraction or 0.0)
        n_seq_max = (residency.way or residency.facts).options.n_seq_max
        leases = [each for each in requests if each.wants == "lease"]
        told.update((each.ticket, (1, loading)) for each in requests if each.wants == "load")
        for position, request in enumerate(turns.order(leases, now), 1):
            if residency.state == "resident":
                told[request.ticket] = position, InQueue(position, Reason("slots", (resident_id,)))
            elif position <= n_seq_max:
                told[request.ticket] = position, loading
            else:
                told[request.ticket] = position, InQueue(position - n_seq_max, Reason("loading", (resident_id,)))
    position = 0
    for resident_id, why in blocked.items():
        for request in turns.order(groups.get(resident_id, ()), now):
            position += 1
            told[request.ticket] = position, InQueue(position, why) if isinstance(why, Reason) else why
    return told
