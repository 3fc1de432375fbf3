"""Who would leave for something that the host does not hold yet: asked of the function that chooses evictions. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inference.core.loads.devices import BytesByDevice
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.memory.eviction import CannotFit, Resident, Residents, plan_eviction
from inference.core.scheduling.memory.ledger import Pool


@dataclass(frozen=True, slots=True)
class WouldEvict:
    """By id. All empty: it fits beside everybody."""

    evicts: tuple[ResidentId, ...] = ()
    waits_for: tuple[ResidentId, ...] = ()
    pinned: tuple[ResidentId, ...] = ()
    """It fits only if one of these were not pinned."""
    foreign_bytes: int = 0
    """It fits only if other programs used less of the device: what they use."""

    @property
    def is_possible(self) -> bool:
        return not self.pinned and not self.foreign_bytes


def would_evict(wanted: BytesByDevice, residents: Sequence[Resident], pools: Sequence[Pool]) -> WouldEvict:
    """`wanted` keeps within every pool's budget: the machine as it is now is the question, not the machine."""
    room = {pool.device: pool.spendable_bytes for pool in pools}
    asked = {device: n_bytes for device, n_bytes in wanted.items() if device in room}
    try:
        chosen = plan_eviction(asked, Residents(residents), room)
    except CannotFit as cannot:
        unfit = cannot.unfit
        if unfit.pinned:
            return WouldEvict(pinned=unfit.pinned)
        return WouldEvict(foreign_bytes=next(pool.foreign_bytes for pool in pools if pool.device == unfit.device) or 1)
    return WouldEvict(chosen.evict, chosen.drain)
