"""What loading a variant would do now: asked of the very functions that decide, so that there is no second opinion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from inference.core.loads.devices import BytesByDevice, BytesOn
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.scheduling.admission import admit
from inference.core.scheduling.fair_turns import FairTurns, Request
from inference.core.scheduling.memory.ledger import Ledger
from inference.core.scheduling.memory.residency import Residency, VariantFacts
from inference.core.scheduling.memory.way_choice import Why
from inference.core.scheduling.reasons import ForEviction, Reason
from inference.core.scheduling.refusals import DoesNotFit

Outcome = Literal["resident", "loading", "fits", "evicts", "waits", "cannot"]


@dataclass(frozen=True, slots=True)
class Leaver:
    """A resident that would have to go."""

    resident_id: ResidentId
    bytes_by_device: BytesByDevice
    idle_seconds: float | None
    """Since its last lease; None: it is answering or loading."""
    answers: int
    reload_seconds: float
    likelihood: float
    """Of being wanted again soon (scheduling.demand)."""


@dataclass(frozen=True, slots=True)
class Preview:
    """`resident`: nothing to do. `loading`: under way. `fits`: loads at once. `evicts`: idle `evicts` leave first.
    `waits`: `evicts` leave and `waits_for` finish first, or what `reason` says. `cannot`: because of `unfit`."""

    resident_id: ResidentId
    outcome: Outcome
    best: LoadWay
    """Of all ways."""
    way: LoadWay | None = None
    """That would be taken (or was); None where that can't be told yet."""
    why: Why | None = None
    evicts: tuple[Leaver, ...] = ()
    waits_for: tuple[Leaver, ...] = ()
    reason: Reason | ForEviction | None = None
    unfit: DoesNotFit | None = None
    load_seconds: float | None = None
    """About; from the moment that there is room."""
    anyway: bool = False
    """Asked as a person would who does not want to wait for others' stays."""
    holds: tuple[BytesOn, ...] = ()
    """What the way takes (or took)."""

    @property
    def is_degraded(self) -> bool:
        return self.way is not None and self.way.score < self.best.score


def preview(
    facts: VariantFacts,
    waiting: Sequence[Request],
    residencies: Mapping[ResidentId, Residency],
    ledger: Ledger,
    turns: FairTurns,
    max_wait_seconds: float,
    now: float,
    anyway: bool = False,
) -> Preview:
    """What a person's wish to load `facts` would lead to, behind everybody who waits already. Changes nothing."""
    known = residencies.get(facts.resident_id)
    residency = replace(known, facts=facts) if known else Residency(facts)
    best = residency.ways[0]
    launched = residency.launched_facts
    if residency.state in ("resident", "loading") and launched is not None and launched.loads_like(facts):
        outcome: Outcome = "resident" if residency.state == "resident" else "loading"
        holds = ledger.named(residency.way.bytes_by_device) if residency.way else ()
        return Preview(
            facts.resident_id, outcome, best, residency.way, load_seconds=residency.reload_seconds, holds=holds
        )
    if residency.state in ("resident", "loading"):
        # For its new options it would have to leave first.
        return Preview(
            facts.resident_id,
            "waits",
            best,
            reason=Reason("leaving", (facts.resident_id,), len(residency.leases)),
            load_seconds=residency.reload_seconds,
        )
    # Equals are taken by ticket: whoever asks now comes after everybody who waits.
    ticket = 1 + max((each.ticket for each in waiting), default=0)
    request = Request(ticket, facts.resident_id, "", "interactive", now, wants="load", anyway=anyway)
    admission = admit(
        [*waiting, request],
        {**residencies, facts.resident_id: residency},
        ledger,
        turns,
        max_wait_seconds,
        now,
    )
    resident_id = facts.resident_id
    if resident_id in admission.hopeless:
        return Preview(resident_id, "cannot", best, unfit=admission.hopeless[resident_id])
    choice = admission.choices.get(resident_id)
    reason = admission.blocked.get(resident_id)
    if choice is None:
        return Preview(resident_id, "waits", best, reason=reason, load_seconds=residency.reload_seconds)
    outcome = "fits"
    if choice.plan.drain:
        outcome = "waits"
    elif choice.plan.evict:
        outcome = "evicts"
    elif resident_id not in admission.start:
        outcome = "waits"
    return Preview(
        resident_id,
        outcome,
        best,
        choice.way,
        choice.why,
        tuple(_leaver(residencies[each], now) for each in choice.plan.evict),
        tuple(_leaver(residencies[each], now) for each in choice.plan.drain),
        reason if outcome == "waits" else None,
        load_seconds=residency.reload_seconds,
        anyway=anyway,
        holds=ledger.named(choice.way.bytes_by_device),
    )


def _leaver(residency: Residency, now: float) -> Leaver:
    is_busy = bool(residency.leases) or residency.state == "loading"
    return Leaver(
        residency.resident_id,
        residency.bytes_by_device,
        None if is_busy else max(0.0, now - residency.used_at),
        len(residency.leases),
        residency.reload_seconds,
        residency.demand.likelihood(now),
    )
