"""Who leaves so that somebody fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.core.budget import DoesNotFit, Plan, Resident, plan


def test_nobody_leaves_when_it_fits() -> None:
    assert plan(40, [Resident(1, 60, used_at=0)], 100) == Plan()


def test_the_least_recently_used_idle_one_leaves_first() -> None:
    residents = [Resident(1, 30, used_at=3), Resident(2, 30, used_at=1), Resident(3, 30, used_at=2)]
    assert plan(40, residents, 100) == Plan(evict=(2,))


def test_as_many_leave_as_it_takes() -> None:
    residents = [Resident(1, 30, used_at=3), Resident(2, 30, used_at=1), Resident(3, 30, used_at=2)]
    assert plan(60, residents, 100) == Plan(evict=(2, 3))


def test_whoever_turns_out_not_to_be_needed_is_spared() -> None:
    assert plan(50, [Resident(1, 10, used_at=1), Resident(2, 80, used_at=2)], 100) == Plan(evict=(2,))


def test_a_busy_one_drains_only_when_the_idle_ones_do_not_suffice() -> None:
    residents = [Resident(1, 50, used_at=1, busy=True), Resident(2, 50, used_at=2)]
    assert plan(50, residents, 100) == Plan(evict=(2,))
    assert plan(60, residents, 100) == Plan(evict=(2,), drain=(1,))


def test_one_drain_is_not_exchanged_for_another() -> None:
    residents = [Resident(1, 50, used_at=1, busy=True), Resident(2, 50, used_at=2, busy=True, draining=True)]
    assert plan(50, residents, 100) == Plan(drain=(2,))


def test_a_pinned_one_never_leaves() -> None:
    residents = [Resident(1, 50, used_at=1, pinned=True), Resident(2, 50, used_at=2)]
    assert plan(50, residents, 100) == Plan(evict=(2,))
    with pytest.raises(DoesNotFit) as refused:
        plan(60, residents, 100)
    assert (refused.value.needed_bytes, refused.value.budget_bytes) == (60, 100)
    assert (refused.value.pinned, refused.value.pinned_bytes) == ((1,), 50)


def test_what_exceeds_the_budget_alone_does_not_fit() -> None:
    with pytest.raises(DoesNotFit):
        plan(101, [], 100)


residents = st.lists(
    st.builds(
        Resident,
        variant_id=st.integers(1, 1000),
        reserved_bytes=st.integers(1, 60),
        used_at=st.floats(0, 100),
        busy=st.booleans(),
        pinned=st.booleans(),
        draining=st.booleans(),
    ),
    unique_by=lambda each: each.variant_id,
    max_size=8,
)


@given(wanted_bytes=st.integers(0, 120), residents=residents)
def test_a_plan_makes_room_with_nobody_to_spare(wanted_bytes: int, residents: list[Resident]) -> None:
    by_id = {each.variant_id: each for each in residents}
    pinned_bytes = sum(each.reserved_bytes for each in residents if each.pinned)
    try:
        chosen = plan(wanted_bytes, residents, 100)
    except DoesNotFit:
        assert wanted_bytes + pinned_bytes > 100
        return
    leaving = [by_id[each] for each in chosen.evict + chosen.drain]
    staying_bytes = sum(each.reserved_bytes for each in residents) - sum(each.reserved_bytes for each in leaving)
    assert wanted_bytes + staying_bytes <= 100
    assert not any(each.pinned for each in leaving)
    assert not any(by_id[each].busy for each in chosen.evict)
    for each in leaving:
        assert wanted_bytes + staying_bytes + each.reserved_bytes > 100, "somebody leaves for nothing"
