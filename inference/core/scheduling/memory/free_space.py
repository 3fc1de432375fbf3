"""The devices as one look over the queue sees them: who stays, who goes, and whom the free bytes are meant for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from inference.core.loads.devices import BytesByDevice
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.scheduling.memory import eviction
from inference.core.scheduling.memory.ledger import Ledger, Pool, Shortage
from inference.core.scheduling.memory.residency import REVOCABLE, Residency
from inference.core.scheduling.refusals import DoesNotFit

_INTERRUPTION_SECONDS = 1e6
"""On top of a busy resident's cost: no number of lingering ones outweighs a running answer."""


class FreeSpace:
    """Pure: starts from the ledger, and changes nothing but itself."""

    def __init__(
        self, ledger: Ledger, residencies: Mapping[ResidentId, Residency], wanted: Collection[ResidentId], now: float
    ) -> None:
        """`wanted`: the variants that somebody waits for."""
        self.pools: Mapping[str, Pool] = ledger.pools
        self._wanted = wanted
        self._now = now
        self._limit = {device: pool.spendable_bytes for device, pool in ledger.pools.items()}
        self._reserved = {device: ledger.reserved(device) for device in ledger.pools}
        self._staying: dict[ResidentId, Residency] = {}
        self._pinned_bytes: dict[str, int] = {}
        self._unclaimed = dict(self._limit)
        self._known: dict[bool, eviction.Residents] = {}
        """By `awaits_returns`, until somebody is removed."""
        for each in residencies.values():
            if each.state in ("loading", "resident") or (each.state == "draining" and each.departure in REVOCABLE):
                self._staying[each.resident_id] = each
                if each.facts.pinned:
                    _add(self._pinned_bytes, each.bytes_by_device)

    # asking -------------------------------------------------------------------------------------------------------

    def fits_now(self, wanted: BytesByDevice) -> bool:
        """Beside all that is still there, those who are leaving included."""
        return all(
            self._reserved.get(device, 0) + n_bytes <= self._limit.get(device, 0)
            for device, n_bytes in wanted.items()
            if n_bytes
        )

    def plan(self, wanted: BytesByDevice, awaits_returns: bool) -> eviction.EvictionPlan | None:
        """Who must leave for `wanted`, beside what others have claimed; None: nobody's leaving would do.

        `awaits_returns`: residents whose people are expected back within moments count as busy."""
        try:
            return eviction.plan_eviction(wanted, self._residents(awaits_returns), self._unclaimed)
        except eviction.CannotFit:
            return None

    def must_drain(self, wanted: BytesByDevice, awaits_returns: bool) -> bool:
        """Whether all idle residents together would not be enough for `wanted`. Cheap, where `plan` is not."""
        return eviction.must_drain(wanted, self._residents(awaits_returns), self._unclaimed)

    def unfit(self, ways: Iterable[LoadWay], foreign: bool) -> DoesNotFit | None:
        """Where the way that lacks least would lack most, if none fits even with everybody gone who isn't pinned.

        `foreign`: judged by what other programs leave us now, not by what we might have."""
        nearest: tuple[int, DoesNotFit] | None = None
        for way in ways:
            short = self._short(way, foreign)
            if short is None:
                return None
            if nearest is None or short[0] < nearest[0]:
                nearest = short
        return nearest[1] if nearest else None

    def _short(self, way: LoadWay, foreign: bool) -> tuple[int, DoesNotFit] | None:
        """By how many bytes `way` can't fit, and where worst."""
        short_bytes = 0
        worst: tuple[int, str, int] | None = None
        for device, n_bytes in way.bytes_by_device.items():
            pool = self.pools.get(device)
            most = (pool.spendable_bytes if foreign else pool.own_bytes) if pool else 0
            short = n_bytes + self._pinned_bytes.get(device, 0) - most
            if n_bytes and short > 0:
                short_bytes += short
                worst = max(worst or (0, "", 0), (short, device, n_bytes))
        if worst is None:
            return None
        _, device, n_bytes = worst
        pool = self.pools.get(device)
        pinned = tuple(
            each.resident_id
            for each in self._staying.values()
            if each.facts.pinned and each.bytes_by_device.get(device)
        )
        return short_bytes, DoesNotFit(
            device,
            n_bytes,
            pool.own_bytes if pool else 0,
            pinned,
            self._pinned_bytes.get(device, 0),
            pool.foreign_bytes if pool else 0,
            pool.name if pool else device,
            pool.kind if pool else "memory",
        )

    def relief(self, shortages: Mapping[str, Shortage]) -> eviction.EvictionPlan:
        """Who leaves so that overdrawn devices hold no more than they should; as far as the pinned ones allow."""
        residents = self._residents(awaits_returns=False)
        lacking = {}
        for device in shortages:
            excess = residents.bytes_on(device) - self._limit.get(device, 0)
            lacking[device] = min(excess, residents.idle.bytes_on(device) + residents.busy.bytes_on(device))
        return eviction.relieve({device: short for device, short in lacking.items() if short > 0}, residents)

    def spared(self, leaving: Collection[ResidentId]) -> tuple[tuple[ResidentId, float], ...]:
        """The next three that might have gone instead of `leaving`, and what each would have cost."""
        others = [each for each in self._residents(True).idle.residents if each.resident_id not in leaving]
        others.sort(key=lambda each: each.cost_seconds)
        return tuple((each.resident_id, each.cost_seconds) for each in others[:3])

    # acting -------------------------------------------------------------------------------------------------------

    def remove(self, leaving: Sequence[ResidentId]) -> None:
        """These go: their bytes are spoken for, though not free yet."""
        for resident_id in leaving:
            del self._staying[resident_id]
        if leaving:
            self._known.clear()

    def claim(self, wanted: BytesByDevice) -> None:
        """Bytes that are meant for somebody who waits: nobody behind may have them."""
        _add(self._unclaimed, {device: -n_bytes for device, n_bytes in wanted.items()})

    def start(self, wanted: BytesByDevice) -> None:
        """A load begins now."""
        _add(self._reserved, wanted)

    # residents ----------------------------------------------------------------------------------------------------

    def _residents(self, awaits_returns: bool) -> eviction.Residents:
        if awaits_returns not in self._known:
            self._known[awaits_returns] = eviction.Residents(
                self._resident(each, awaits_returns) for each in self._staying.values()
            )
        return self._known[awaits_returns]

    def _resident(self, residency: Residency, awaits_returns: bool) -> eviction.Resident:
        cost_seconds = residency.eviction_cost_seconds(self._now)
        is_awaited = residency.state in ("loading", "resident") and residency.resident_id in self._wanted
        if residency.leases or is_awaited:
            cost_seconds += _INTERRUPTION_SECONDS
        is_expected_back = awaits_returns and residency.demand.expected_back_until > self._now
        return eviction.Resident(
            residency.resident_id,
            residency.bytes_by_device,
            cost_seconds,
            busy=bool(residency.leases) or is_awaited or is_expected_back,
            pinned=residency.facts.pinned,
            draining=residency.state == "draining",
            used_at=residency.used_at,
        )


def _add(totals: dict[str, int], more: BytesByDevice) -> None:
    for device, n_bytes in more.items():
        totals[device] = totals.get(device, 0) + n_bytes
