"""Who leaves so that somebody fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.memory import eviction
from inference.core.scheduling.memory.eviction import CannotFit, EvictionPlan, Resident, Residents


def resident(number: int, n_bytes: int, cost: float = 1.0, device: str = "ram", **more: object) -> Resident:
    return Resident(ResidentId(number), {device: n_bytes}, cost, **more)  # type: ignore[arg-type]


def ids(*numbers: int) -> tuple[ResidentId, ...]:
    return tuple(map(ResidentId, numbers))


def plan(wanted: Mapping[str, int], residents: Iterable[Resident], room: Mapping[str, int]) -> EvictionPlan:
    return eviction.plan_eviction(wanted, Residents(residents), room)


def test_nobody_leaves_when_it_fits() -> None:
    assert plan({"ram": 40}, [resident(1, 60)], {"ram": 100}) == EvictionPlan()


def test_the_cheapest_idle_one_leaves() -> None:
    residents = [resident(1, 30, cost=3), resident(2, 30, cost=1), resident(3, 30, cost=2)]
    assert plan({"ram": 40}, residents, {"ram": 100}) == EvictionPlan(evict=ids(2))


def test_of_equally_cheap_ones_the_least_recently_used_leaves() -> None:
    residents = [resident(1, 30, used_at=3), resident(2, 30, used_at=1), resident(3, 30, used_at=2)]
    assert plan({"ram": 40}, residents, {"ram": 100}) == EvictionPlan(evict=ids(2))


def test_as_many_leave_as_it_takes() -> None:
    residents = [resident(1, 30, cost=3), resident(2, 30, cost=1), resident(3, 30, cost=2)]
    assert plan({"ram": 60}, residents, {"ram": 100}) == EvictionPlan(evict=ids(2, 3))


def test_whoever_turns_out_not_to_be_needed_is_spared() -> None:
    assert plan({"ram": 50}, [resident(1, 10, cost=1), resident(2, 80, cost=2)], {"ram": 100}) == EvictionPlan(
        evict=ids(2)
    )


def test_several_cheap_ones_leave_rather_than_one_dear_one() -> None:
    residents = [resident(1, 50, cost=9), resident(2, 25, cost=2), resident(3, 25, cost=2)]
    assert plan({"ram": 50}, residents, {"ram": 100}) == EvictionPlan(evict=ids(2, 3))


def test_only_who_holds_bytes_of_the_device_in_need_leaves() -> None:
    residents = [resident(1, 90, cost=1, device="gpu1"), resident(2, 60, cost=50, device="gpu0")]
    room = {"gpu0": 100, "gpu1": 100}
    assert plan({"gpu0": 50}, residents, room) == EvictionPlan(evict=ids(2))
    assert plan({"gpu0": 50, "gpu1": 50}, residents, room) == EvictionPlan(evict=ids(1, 2))


def test_one_that_frees_both_devices_spares_two() -> None:
    both = Resident(ResidentId(3), {"gpu0": 40, "gpu1": 40}, cost_seconds=3)
    residents = [resident(1, 60, cost=2, device="gpu0"), resident(2, 60, cost=2, device="gpu1"), both]
    assert plan({"gpu0": 40, "gpu1": 40}, residents, {"gpu0": 100, "gpu1": 100}) == EvictionPlan(evict=ids(3))


def test_a_busy_one_drains_only_when_the_idle_ones_do_not_suffice() -> None:
    residents = [resident(1, 50, busy=True), resident(2, 50, cost=99)]
    assert plan({"ram": 50}, residents, {"ram": 100}) == EvictionPlan(evict=ids(2))
    assert plan({"ram": 60}, residents, {"ram": 100}) == EvictionPlan(evict=ids(2), drain=ids(1))


def test_one_drain_is_not_exchanged_for_another() -> None:
    residents = [resident(1, 50, cost=1, busy=True), resident(2, 50, cost=2, busy=True, draining=True)]
    assert plan({"ram": 50}, residents, {"ram": 100}) == EvictionPlan(drain=ids(2))


def test_a_pinned_one_never_leaves() -> None:
    residents = [resident(1, 50, pinned=True), resident(2, 50)]
    assert plan({"ram": 50}, residents, {"ram": 100}) == EvictionPlan(evict=ids(2))
    with pytest.raises(CannotFit) as refused:
        plan({"ram": 60}, residents, {"ram": 100})
    unfit = refused.value.unfit
    assert (unfit.device, unfit.needed_bytes, unfit.budget_bytes) == ("ram", 60, 100)
    assert (unfit.pinned, unfit.pinned_bytes) == (ids(1), 50)


def test_what_exceeds_the_room_alone_does_not_fit() -> None:
    with pytest.raises(CannotFit):
        plan({"ram": 101}, [], {"ram": 100})


def test_a_device_that_nobody_offers_holds_nothing() -> None:
    with pytest.raises(CannotFit) as refused:
        plan({"ram": 1, "gpu7": 1}, [], {"ram": 100})
    assert refused.value.unfit.device == "gpu7"


DEVICES = ("ram", "gpu0")
residents = st.lists(
    st.builds(
        Resident,
        resident_id=st.integers(1, 1000).map(ResidentId),
        bytes_by_device=st.fixed_dictionaries({device: st.integers(0, 60) for device in DEVICES}),
        cost_seconds=st.floats(0, 100),
        busy=st.booleans(),
        pinned=st.booleans(),
        draining=st.booleans(),
        used_at=st.floats(0, 100),
    ),
    unique_by=lambda each: each.resident_id,
    max_size=8,
)
needs = st.fixed_dictionaries({device: st.integers(0, 120) for device in DEVICES})
ROOM = dict.fromkeys(DEVICES, 100)


def fits(wanted: dict[str, int], staying: list[Resident]) -> bool:
    return all(
        n_bytes == 0 or n_bytes + sum(each.bytes_by_device[device] for each in staying) <= ROOM[device]
        for device, n_bytes in wanted.items()
    )


def without(residents: list[Resident], leaving: tuple[ResidentId, ...]) -> list[Resident]:
    return [each for each in residents if each.resident_id not in leaving]


@given(wanted=needs, residents=residents)
def test_a_plan_makes_room_and_no_proper_subset_of_it_would(wanted: dict[str, int], residents: list[Resident]) -> None:
    wanted = {device: n_bytes for device, n_bytes in wanted.items() if n_bytes}
    by_id = {each.resident_id: each for each in residents}
    try:
        chosen = plan(wanted, residents, ROOM)
    except CannotFit:
        assert not fits(wanted, [each for each in residents if each.pinned])
        return
    assert fits(wanted, without(residents, chosen.leaving))
    assert not any(by_id[each].pinned for each in chosen.leaving)
    assert not any(by_id[each].busy for each in chosen.evict)
    assert all(by_id[each].busy for each in chosen.drain)
    for spared in chosen.leaving:
        fewer = tuple(each for each in chosen.leaving if each != spared)
        assert not fits(wanted, without(residents, fewer)), "somebody leaves for nothing"


@given(wanted=needs, residents=residents)
def test_no_other_set_of_idle_ones_would_be_cheaper(wanted: dict[str, int], residents: list[Resident]) -> None:
    wanted = {device: n_bytes for device, n_bytes in wanted.items() if n_bytes}
    price = {each.resident_id: 0.0 if each.draining else each.cost_seconds for each in residents}
    try:
        chosen = plan(wanted, residents, ROOM)
    except CannotFit:
        return
    if chosen.drain:
        return
    idle = [each.resident_id for each in residents if not each.busy and not each.pinned]
    least = min(
        sum(price[each] for each in group)
        for size in range(len(idle) + 1)
        for group in combinations(idle, size)
        if fits(wanted, without(residents, group))
    )
    assert sum(price[each] for each in chosen.evict) <= least + 1e-9


@given(
    wanted=st.integers(1, 400),
    sizes=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 100)), min_size=12, max_size=14),
)
def test_among_many_the_plan_costs_at_most_twice_the_least(wanted: int, sizes: list[tuple[int, int]]) -> None:
    crowd = [resident(number, n_bytes, cost) for number, (n_bytes, cost) in enumerate(sizes)]
    total = sum(n_bytes for n_bytes, _ in sizes)
    freed = min(wanted, total)
    chosen = plan({"ram": freed}, crowd, {"ram": total})
    least = [0.0] + [float("inf")] * freed
    for n_bytes, cost in sizes:
        for needed in range(freed, 0, -1):
            least[needed] = min(least[needed], cost + least[max(0, needed - n_bytes)])
    assert sum(sizes[each.variant_id][1] for each in chosen.evict) <= 2 * least[freed]
