"""The devices as one look over the queue sees them: who stays, who goes, and whom the free bytes are meant for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from inference.core import budget
from inference.core.ledger import BytesByDevice, Ledger, Pool, Shortage
from inference.core.residency import REVOCABLE, LoadAlternative, Residency

_INTERRUPTION_SECONDS = 1e6
"""On top of a busy resident's cost: no number of lingering ones outweighs a running answer."""


class Room:
    """Pure: starts from the ledger, and changes nothing but itself."""

    def __init__(
        self, ledger: Ledger, residencies: Mapping[int, Residency], wanted: Collection[int], now: float
    ) -> None:
        """`wanted`: the variants that somebody waits for."""
        self.pools: Mapping[str, Pool] = ledger.pools
        self._wanted = wanted
        self._now = now
        self._limit = {device: pool.spendable_bytes for device, pool in ledger.pools.items()}
        self._reserved = {device: ledger.reserved(device) for device in ledger.pools}
        self._staying: dict[int, Residency] = {}
        self._staying_bytes: dict[str, int] = {}
        self._pinned_bytes: dict[str, int] = {}
        self._claimed: dict[str, int] = {}
        self._candidates: dict[bool, list[budget.Resident]] = {}
        for each in residencies.values():
            if each.state in ("loading", "resident") or (each.state == "draining" and each.departure in REVOCABLE):
                self._staying[each.variant_id] = each
                _add(self._staying_bytes, each.bytes_by_device)
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

    def plan(self, wanted: BytesByDevice, lingers: bool) -> budget.Plan | None:
        """Who must leave for `wanted`, beside what others have claimed; None: nobody's leaving would do.

        `lingers`: residents whose people are expected back within moments count as busy."""
        room: dict[str, int] = {}
        fits = True
        for device, n_bytes in wanted.items():
            if not n_bytes:
                continue
            room[device] = self._limit.get(device, 0) - self._claimed.get(device, 0)
            if n_bytes + self._pinned_bytes.get(device, 0) > room[device]:
                return None
            fits = fits and n_bytes + self._staying_bytes.get(device, 0) <= room[device]
        if fits:
            return budget.Plan()
        try:
            return budget.plan({device: wanted[device] for device in room}, self._residents(lingers), room)
        except budget.DoesNotFit:
            return None

    def unfit(self, way: LoadAlternative, foreign: bool) -> tuple[int, budget.DoesNotFit] | None:
        """Whether `way` can't fit even with everybody gone who isn't pinned: by how many bytes, and where worst.

        `foreign`: judged by what other programs leave us now, not by what we might have."""
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
            each.variant_id for each in self._staying.values() if each.facts.pinned and each.bytes_by_device.get(device)
        )
        return short_bytes, budget.DoesNotFit(
            device,
            n_bytes,
            pool.own_bytes if pool else 0,
            pinned,
            self._pinned_bytes.get(device, 0),
            pool.foreign_bytes if pool else 0,
        )

    def relief(self, shortages: Mapping[str, Shortage]) -> budget.Plan:
        """Who leaves so that overdrawn devices hold no more than they should; as far as the pinned ones allow."""
        everybody = [self._resident(each, lingers=False) for each in self._staying.values()]
        free_to_go = [each for each in everybody if not each.pinned]
        lacking = {}
        for device in shortages:
            excess = self._staying_bytes.get(device, 0) - self._limit.get(device, 0)
            most = sum(each.bytes_by_device.get(device, 0) for each in free_to_go)
            if min(excess, most) > 0:
                lacking[device] = min(excess, most)
        idle = [each for each in free_to_go if not each.busy]
        return budget.relieve(lacking, idle, [each for each in free_to_go if each.busy])

    def spared(self, leaving: Collection[int]) -> tuple[tuple[int, float], ...]:
        """The next three that might have gone instead of `leaving`, and what each would have cost."""
        others = [
            each
            for each in self._residents(True)
            if each.variant_id not in leaving and not each.pinned and not each.busy
        ]
        others.sort(key=lambda each: each.cost_seconds)
        return tuple((each.variant_id, each.cost_seconds) for each in others[:3])

    # acting -------------------------------------------------------------------------------------------------------

    def take_out(self, leaving: Sequence[int]) -> None:
        """These go: their bytes are spoken for, though not free yet."""
        for variant_id in leaving:
            gone = self._staying.pop(variant_id)
            _add(self._staying_bytes, gone.bytes_by_device, -1)
            for candidates in self._candidates.values():
                candidates[:] = [each for each in candidates if each.variant_id != variant_id]

    def claim(self, wanted: BytesByDevice) -> None:
        """Bytes that are meant for somebody who waits: nobody behind may have them."""
        _add(self._claimed, wanted)

    def start(self, wanted: BytesByDevice) -> None:
        """A load begins now."""
        _add(self._reserved, wanted)

    # candidates ---------------------------------------------------------------------------------------------------

    def _residents(self, lingers: bool) -> list[budget.Resident]:
        if lingers not in self._candidates:
            self._candidates[lingers] = [self._resident(each, lingers) for each in self._staying.values()]
        return self._candidates[lingers]

    def _resident(self, residency: Residency, lingers: bool) -> budget.Resident:
        cost_seconds = residency.eviction_cost_seconds(self._now)
        is_awaited = residency.state in ("loading", "resident") and residency.variant_id in self._wanted
        if residency.leases or is_awaited:
            cost_seconds += _INTERRUPTION_SECONDS
        is_lingering = lingers and residency.use.lingers_until > self._now
        return budget.Resident(
            residency.variant_id,
            residency.bytes_by_device,
            cost_seconds,
            busy=bool(residency.leases) or is_awaited or is_lingering,
            pinned=residency.facts.pinned,
            draining=residency.state == "draining",
            used_at=residency.used_at,
        )


def _add(totals: dict[str, int], more: BytesByDevice, sign: int = 1) -> None:
    for device, n_bytes in more.items():
        totals[device] = totals.get(device, 0) + sign * n_bytes
