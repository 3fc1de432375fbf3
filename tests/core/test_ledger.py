"""What each device may hold: the least of what its owner allows and what other programs leave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.core.scheduling.memory.ledger import Ledger, Overdrawn, Pool

MIB = 1 << 20
GIB = 1 << 30
CARD = Pool("gpu0", "card", 12 * GIB, 11 * GIB, 512 * MIB)


def foreign(n_bytes: int) -> Pool:
    return Pool("gpu0", "card", 12 * GIB, 11 * GIB, 512 * MIB, n_bytes)


def test_the_budget_bounds_what_is_free_while_nobody_else_uses_the_device() -> None:
    ledger = Ledger([CARD])
    assert ledger.free("gpu0") == 11 * GIB
    ledger.reserve(1, {"gpu0": 4 * GIB})
    assert ledger.free("gpu0") == 7 * GIB
    assert ledger.fits({"gpu0": 7 * GIB})
    assert not ledger.fits({"gpu0": 7 * GIB + 1})


def test_foreign_memory_and_reserve_come_off_the_capacity() -> None:
    ledger = Ledger([foreign(2 * GIB)])
    ledger.reserve(1, {"gpu0": 4 * GIB})
    assert ledger.free("gpu0") == 12 * GIB - 512 * MIB - 2 * GIB - 4 * GIB


def test_a_device_that_is_not_there_holds_nothing() -> None:
    ledger = Ledger([CARD])
    assert not ledger.fits({"gpu1": 1})
    assert ledger.fits({"gpu1": 0})


def test_what_does_not_fit_is_not_reserved() -> None:
    ledger = Ledger([CARD])
    with pytest.raises(Overdrawn) as overdrawn:
        ledger.reserve(1, {"gpu0": 12 * GIB})
    assert overdrawn.value.free_bytes == 11 * GIB
    assert ledger.reserved_bytes == 0


def test_the_measured_bytes_replace_the_reserved_ones() -> None:
    ledger = Ledger([CARD, Pool("ram", "RAM", GIB, GIB)])
    ledger.reserve(1, {"gpu0": 4 * GIB, "ram": MIB})
    ledger.settle(1, {"gpu0": 3 * GIB})
    assert (ledger.reserved("gpu0"), ledger.reserved("ram")) == (3 * GIB, MIB), "nothing was heard of the RAM"
    ledger.settle(1, {"ram": 0})
    assert (ledger.reserved("gpu0"), ledger.reserved("ram")) == (3 * GIB, 0)
    ledger.release(1)
    assert ledger.reserved_bytes == 0


def test_noise_in_foreign_memory_is_no_shortage_but_growth_is_until_it_is_wholly_gone() -> None:
    ledger = Ledger([foreign(512 * MIB)])
    ledger.reserve(1, {"gpu0": 11 * GIB})
    for noise in (1 * MIB, 40 * MIB, 0, 48 * MIB):
        ledger.set_pools([foreign(512 * MIB + noise)])
        assert ledger.shortages == {}
    assert not ledger.fits({"gpu0": 1}), "noise is nothing to build on either"
    ledger.set_pools([foreign(512 * MIB + 49 * MIB)])
    assert ledger.shortages["gpu0"].cause == "foreign"
    ledger.set_pools([foreign(512 * MIB + 1 * MIB)])
    assert "gpu0" in ledger.shortages
    ledger.set_pools([foreign(512 * MIB)])
    assert ledger.shortages == {}


def test_a_lowered_budget_is_a_shortage_to_the_byte() -> None:
    ledger = Ledger([CARD])
    ledger.reserve(1, {"gpu0": 10 * GIB})
    ledger.set_pools([Pool("gpu0", "card", 12 * GIB, 10 * GIB - 1, 512 * MIB)])
    shortage = ledger.shortages["gpu0"]
    assert (shortage.cause, shortage.excess_bytes) == ("budget", 1)


def test_a_device_that_vanished_is_short_of_all_it_held() -> None:
    ledger = Ledger([CARD])
    ledger.reserve(1, {"gpu0": GIB})
    ledger.set_pools([])
    assert ledger.shortages["gpu0"].excess_bytes == GIB


amounts = st.integers(0, 120)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["reserve", "release"]), amounts, amounts)), amounts, amounts
)
def test_reservations_never_pass_budget_or_capacity(
    acts: list[tuple[int, str, int, int]], budget_bytes: int, foreign_bytes: int
) -> None:
    pools = [Pool("ram", "RAM", 100, budget_bytes, 5, foreign_bytes), Pool("gpu0", "card", 80, 80)]
    ledger = Ledger(pools)
    for launch, act, in_ram, on_card in acts:
        wanted = {"ram": in_ram, "gpu0": on_card}
        if act == "release":
            ledger.release(launch)
        elif not ledger.held(launch) and ledger.fits(wanted):
            ledger.reserve(launch, wanted)
        for pool in pools:
            reserved = ledger.reserved(pool.device)
            assert reserved <= pool.budget_bytes
            assert reserved == 0 or reserved + pool.foreign_bytes + pool.reserve_bytes <= pool.capacity_bytes
