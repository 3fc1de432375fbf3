"""Who leaves so that somebody fits: the one place that chooses evictions."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from inference.core.loads.devices import BytesByDevice
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.refusals import DoesNotFit

_MOST_SEARCHED = 10
"""Among so many candidates the cheapest set is searched for; among more, one that costs at most twice as much is built."""


@dataclass(frozen=True, slots=True)
class Resident:
    """A variant that holds bytes and is not already on its way out."""

    resident_id: ResidentId
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
class EvictionPlan:
    """What must happen before the wanted bytes fit. Both empty: they fit as soon as those already leaving are gone."""

    evict: tuple[ResidentId, ...] = ()
    """Idle variants, cheapest first."""
    drain: tuple[ResidentId, ...] = ()
    """Busy ones that must finish first. Without them `evict` does not suffice."""

    @property
    def leaving(self) -> tuple[ResidentId, ...]:
        return self.evict + self.drain


class CannotFit(Exception):
    """Nobody's leaving would do. `unfit` says where it lacks, and what."""

    def __init__(self, unfit: DoesNotFit) -> None:
        super().__init__(str(unfit))
        self.unfit = unfit


class _Candidate(NamedTuple):
    """A resident as the devices in need see it. Cheapest first by its very order."""

    price: float
    used_at: float
    resident_id: ResidentId
    frees: tuple[int, ...]
    """Bytes, in the order of the devices in need."""


class Group:
    """Residents, with what many plans ask of them reckoned once."""

    def __init__(self, residents: Iterable[Resident]) -> None:
        self.residents = tuple(residents)
        self._bytes: dict[str, int] = {}
        self._candidates: dict[tuple[str, ...], list[_Candidate]] = {}

    def bytes_on(self, device: str) -> int:
        if device not in self._bytes:
            self._bytes[device] = sum(each.bytes_by_device.get(device, 0) for each in self.residents)
        return self._bytes[device]

    def on(self, device: str) -> tuple[ResidentId, ...]:
        """Ids of those that hold bytes there."""
        return tuple(each.resident_id for each in self.residents if each.bytes_by_device.get(device))

    def candidates(self, devices: tuple[str, ...]) -> list[_Candidate]:
        """Those that hold bytes on any of `devices`, cheapest first."""
        if devices not in self._candidates:
            found = [
                _Candidate(
                    0.0 if each.draining else each.cost_seconds,
                    each.used_at,
                    each.resident_id,
                    tuple(each.bytes_by_device.get(device, 0) for device in devices),
                )
                for each in self.residents
            ]
            self._candidates[devices] = sorted(each for each in found if any(each.frees))
        return self._candidates[devices]


class Residents:
    """All that hold bytes and are not already on their way out."""

    def __init__(self, residents: Iterable[Resident]) -> None:
        everybody = tuple(residents)
        self.pinned = Group(each for each in everybody if each.pinned)
        self.idle = Group(each for each in everybody if not each.pinned and not each.busy)
        self.busy = Group(each for each in everybody if not each.pinned and each.busy)

    def bytes_on(self, device: str) -> int:
        return self.pinned.bytes_on(device) + self.idle.bytes_on(device) + self.busy.bytes_on(device)


def plan_eviction(wanted: BytesByDevice, residents: Residents, room: BytesByDevice) -> EvictionPlan:
    """The evictions that make `wanted` fit into `room` (by device, for `wanted` and `residents` together).

    Idle before busy; among each the set with the least `cost_seconds` in sum (exactly so for up to ten candidates); pinned never;
    nobody whom the others make needless. Devices that `wanted` does not name are left as they are. Raises CannotFit.
    """
    lacking = _lacking(wanted, residents, room)
    for device, short in lacking.items():
        if residents.idle.bytes_on(device) + residents.busy.bytes_on(device) < short:
            pinned = residents.pinned
            unfit = DoesNotFit(device, wanted[device], room.get(device, 0), pinned.on(device), pinned.bytes_on(device))
            raise CannotFit(unfit)
    return relieve(lacking, residents)


def must_drain(wanted: BytesByDevice, residents: Residents, room: BytesByDevice) -> bool:
    """Whether busy residents must leave, or would have to, if that sufficed. Cheap, where `plan_eviction` is not."""
    for device, n_bytes in wanted.items():
        staying_bytes = residents.pinned.bytes_on(device) + residents.busy.bytes_on(device)
        if n_bytes and n_bytes + staying_bytes > room.get(device, 0):
            return True
    return False


def relieve(lacking: BytesByDevice, residents: Residents) -> EvictionPlan:
    """Who leaves so that `lacking` bytes come free, which the idle and the busy ones together must hold."""
    unmet = {device: short - residents.idle.bytes_on(device) for device, short in lacking.items()}
    # Whoever must be disturbed is chosen as if every idle one went; the idle ones then only fill what that leaves open.
    drain = _cheapest(unmet, residents.busy)
    drained = Group(each for each in residents.busy.residents if each.resident_id in drain)
    rest = {device: short - drained.bytes_on(device) for device, short in lacking.items()}
    return EvictionPlan(_cheapest(rest, residents.idle), drain)


def _lacking(wanted: BytesByDevice, residents: Residents, room: BytesByDevice) -> dict[str, int]:
    return {
        device: short
        for device, n_bytes in wanted.items()
        if n_bytes and (short := n_bytes + residents.bytes_on(device) - room.get(device, 0)) > 0
    }


def _cheapest(lacking: BytesByDevice, among: Group) -> tuple[ResidentId, ...]:
    """The cheapest of the sets that free `lacking` bytes on every device that lacks any: ids, cheapest first."""
    devices = tuple(device for device, short in lacking.items() if short > 0)
    if not devices:
        return ()
    short = tuple(lacking[device] for device in devices)
    useful = among.candidates(devices)
    chosen = _greedy(short, useful)
    single = next((each for each in useful if _covers(short, (each,))), None)
    if single is not None and single.price < _price(chosen):
        chosen = [single]
    if len(chosen) > 1 and len(useful) <= _MOST_SEARCHED:
        chosen = _without_needless(short, _Search(short, useful, chosen).best)
    return tuple(each.resident_id for each in chosen)


def _price(chosen: Iterable[_Candidate]) -> float:
    return sum(each.price for each in chosen)


def _covers(short: Sequence[int], chosen: Sequence[_Candidate]) -> bool:
    if len(chosen) == 1:
        freed: Iterable[int] = chosen[0].frees
    else:
        freed = map(sum, zip(*(each.frees for each in chosen), strict=True)) if chosen else (0,) * len(short)
    return all(map(operator.ge, freed, short))


def _greedy(short: Sequence[int], useful: Sequence[_Candidate]) -> list[_Candidate]:
    """By price for what each contributes. On one device, and with the best single one beside it, at most twice the least."""

    def rate(candidate: _Candidate) -> float:
        contributes = 0.0
        for frees, lacks in zip(candidate.frees, short, strict=True):
            contributes += min(frees, lacks) / lacks
        return candidate.price / contributes

    left = list(short)
    chosen = []
    for candidate in sorted(useful, key=rate):
        if any(lacks > 0 and frees for frees, lacks in zip(candidate.frees, left, strict=True)):
            chosen.append(candidate)
            left = [lacks - frees for frees, lacks in zip(candidate.frees, left, strict=True)]
            if max(left) <= 0:
                break
    return _without_needless(short, chosen)


def _without_needless(short: Sequence[int], chosen: Sequence[_Candidate]) -> list[_Candidate]:
    kept = sorted(chosen)
    for candidate in reversed(kept[:]):
        if len(kept) == 1:
            break
        others = [each for each in kept if each is not candidate]
        if _covers(short, others):
            kept = others
    return kept


class _Search:
    """Depth first over `useful`, which is sorted by price; cut off where the best set so far can no longer be beaten."""

    def __init__(self, short: tuple[int, ...], useful: Sequence[_Candidate], known: Sequence[_Candidate]) -> None:
        self.best = list(known)
        self._price = _price(known)
        self._useful = useful
        self._try(0, short, 0.0, [])

    def _try(self, index: int, left: tuple[int, ...], price: float, chosen: list[_Candidate]) -> None:
        if all(each <= 0 for each in left):
            if price < self._price:
                self.best, self._price = chosen[:], price
            return
        if index == len(self._useful) or price + self._useful[index].price >= self._price:
            return
        candidate = self._useful[index]
        chosen.append(candidate)
        still = tuple(a - b for a, b in zip(left, candidate.frees, strict=True))
        self._try(index + 1, still, price + candidate.price, chosen)
        chosen.pop()
        self._try(index + 1, left, price, chosen)
