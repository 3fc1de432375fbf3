"""Who leaves so that somebody fits: the one place that chooses evictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inference.core.ledger import BytesByDevice

_MOST_SEARCHED = 10
"""Among so many candidates the cheapest set is searched for; among more, one that costs at most twice as much is built."""


@dataclass(frozen=True, slots=True)
class Resident:
    """A variant that holds bytes and is not already on its way out."""

    variant_id: int
    bytes_by_device: BytesByDevice
    cost_seconds: float
    """What its leaving is expected to cost: the seconds of a reload × the likelihood that it is wanted again."""
    busy: bool = False
    """Leased, loading for somebody, or expected to be leased again in a moment: it leaves only after a wait."""
    pinned: bool = False
    draining: bool = False
    """Already asked to make room: chosen again before others, so that one drain is not exchanged for another."""
    used_at: float = 0.0
    """Settles a tie: the least recently used goes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What must happen before the wanted bytes fit. Both empty: they fit as soon as those already leaving are gone."""

    evict: tuple[int, ...] = ()
    """Idle variants, cheapest first."""
    drain: tuple[int, ...] = ()
    """Busy ones that must finish first. Without them `evict` does not suffice."""

    @property
    def leaving(self) -> tuple[int, ...]:
        return self.evict + self.drain


class DoesNotFit(Exception):
    """Not even with every variant gone that may go. All bytes are of `device`."""

    def __init__(
        self,
        device: str,
        needed_bytes: int,
        budget_bytes: int,
        pinned: tuple[int, ...] = (),
        pinned_bytes: int = 0,
        foreign_bytes: int = 0,
    ) -> None:
        super().__init__(
            f"needs {needed_bytes} bytes of {device}, which may hold {budget_bytes}; "
            f"{pinned_bytes} are pinned, {foreign_bytes} foreign"
        )
        self.device = device
        self.needed_bytes = needed_bytes
        self.budget_bytes = budget_bytes
        self.pinned = pinned
        self.pinned_bytes = pinned_bytes
        self.foreign_bytes = foreign_bytes


def plan(wanted: BytesByDevice, residents: Iterable[Resident], room: BytesByDevice) -> Plan:
    """The evictions that make `wanted` fit into `room` (by device, for `wanted` and `residents` together).

    Idle before busy; among each the set with the least `cost_seconds` in sum (exactly so for up to ten candidates); pinned never;
    nobody whom the others make needless. Devices that `wanted` does not name are left as they are. Raises DoesNotFit.
    """
    residents = tuple(residents)
    lacking = {
        device: short
        for device, n_bytes in wanted.items()
        if (short := n_bytes + _sum(residents, device) - room.get(device, 0)) > 0
    }
    if not lacking:
        return Plan()
    idle = [each for each in residents if not each.pinned and not each.busy]
    busy = [each for each in residents if not each.pinned and each.busy]
    for device, short in lacking.items():
        if _sum(idle, device) + _sum(busy, device) < short:
            pinned = tuple(each for each in residents if each.pinned and each.bytes_by_device.get(device))
            raise DoesNotFit(
                device,
                wanted[device],
                room.get(device, 0),
                tuple(each.variant_id for each in pinned),
                _sum(pinned, device),
            )
    return relieve(lacking, idle, busy)


def relieve(lacking: BytesByDevice, idle: Sequence[Resident], busy: Sequence[Resident]) -> Plan:
    """Who of `idle` and `busy`, which together suffice, leaves so that `lacking` bytes come free."""
    unmet = {device: short - _sum(idle, device) for device, short in lacking.items()}
    # Whoever must be disturbed is chosen as if every idle one went; the idle ones then only fill what that leaves open.
    drain = _cheapest({device: short for device, short in unmet.items() if short > 0}, busy)
    rest = {device: short - _sum(drain, device) for device, short in lacking.items()}
    evict = _cheapest({device: short for device, short in rest.items() if short > 0}, idle)
    return Plan(tuple(each.variant_id for each in evict), tuple(each.variant_id for each in drain))


def _sum(residents: Iterable[Resident], device: str) -> int:
    return sum(each.bytes_by_device.get(device, 0) for each in residents)


def _price(resident: Resident) -> float:
    return 0.0 if resident.draining else resident.cost_seconds


def _cheapest(lacking: BytesByDevice, candidates: Sequence[Resident]) -> list[Resident]:
    """The cheapest of the sets that free `lacking` bytes on every device it names, cheapest member first."""
    if not lacking:
        return []
    useful = [each for each in candidates if any(each.bytes_by_device.get(device) for device in lacking)]
    useful.sort(key=lambda each: (_price(each), each.used_at, each.variant_id))
    chosen = _greedy(lacking, useful)
    single = next((each for each in useful if _covers(lacking, (each,))), None)
    if single is not None and _price(single) < sum(map(_price, chosen)):
        chosen = [single]
    if len(chosen) > 1 and len(useful) <= _MOST_SEARCHED:
        chosen = _Search(lacking, useful, chosen).best
    return _without_needless(lacking, chosen)


def _covers(lacking: BytesByDevice, chosen: Sequence[Resident]) -> bool:
    return all(_sum(chosen, device) >= short for device, short in lacking.items())


def _greedy(lacking: BytesByDevice, useful: Sequence[Resident]) -> list[Resident]:
    """By price for what each contributes. On one device, and with the best single one beside it, at most twice the least."""

    def rate(resident: Resident) -> float:
        held = resident.bytes_by_device
        return _price(resident) / sum(min(held.get(device, 0), short) / short for device, short in lacking.items())

    left = dict(lacking)
    chosen = []
    for candidate in sorted(useful, key=rate):
        if any(short > 0 and candidate.bytes_by_device.get(device) for device, short in left.items()):
            chosen.append(candidate)
            for device in left:
                left[device] -= candidate.bytes_by_device.get(device, 0)
    return _without_needless(lacking, chosen)


def _without_needless(lacking: BytesByDevice, chosen: Sequence[Resident]) -> list[Resident]:
    kept = sorted(chosen, key=lambda each: (_price(each), each.used_at, each.variant_id))
    for candidate in reversed(kept[:]):
        others = [each for each in kept if each is not candidate]
        if _covers(lacking, others):
            kept = others
    return kept


class _Search:
    """Depth first over `useful`, which is sorted by price; cut off where the best set so far can no longer be beaten."""

    def __init__(self, lacking: BytesByDevice, useful: Sequence[Resident], known: Sequence[Resident]) -> None:
        self.best = list(known)
        self._price = sum(map(_price, known))
        self._devices = tuple(lacking)
        self._prices = [_price(each) for each in useful]
        self._bytes = [tuple(each.bytes_by_device.get(device, 0) for device in lacking) for each in useful]
        self._useful = useful
        self._try(0, tuple(lacking.values()), 0.0, [])

    def _try(self, index: int, left: tuple[int, ...], price: float, chosen: list[Resident]) -> None:
        if all(each <= 0 for each in left):
            if price < self._price:
                self.best, self._price = chosen[:], price
            return
        if index == len(self._useful) or price + self._prices[index] >= self._price:
            return
        chosen.append(self._useful[index])
        frees = self._bytes[index]
        self._try(
            index + 1, tuple(a - b for a, b in zip(left, frees, strict=True)), price + self._prices[index], chosen
        )
        chosen.pop()
        self._try(index + 1, left, price, chosen)
