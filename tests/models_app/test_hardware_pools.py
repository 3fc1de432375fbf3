"""What of a device may be spent: the owner's budget and reserve, the box's setting, and the defaults between them."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.core.scheduling.memory.ledger import Pool
from models_app.hardware import Budget, Device, Profile
from models_app.hardware.pools import profile_pools
from models_app.hardware.profile import GIB, DeviceKind

CARD = Device("Card", "gpu", 12 * GIB, budget=Budget.parse("11GiB"), reserve=Budget.parse("512MiB"))
RAM = Device("RAM", "ram", 64 * GIB)


def test_pools_stand_in_the_order_of_the_profile_and_make_the_ledgers_own() -> None:
    pools = profile_pools(Profile("x", RAM, (CARD, Device("Other", "gpu", 8 * GIB))))
    assert [(pool.device, pool.name) for pool in pools] == [("ram", "RAM"), ("gpu0", "Card"), ("gpu1", "Other")]
    assert Pool(**asdict(pools[1])) == Pool("gpu0", "Card", 12 * GIB, 11 * GIB, GIB // 2)


def test_a_machine_without_a_card_has_its_ram() -> None:
    (pool,) = profile_pools(Profile("x", RAM))
    assert (pool.capacity_bytes, pool.budget_bytes + pool.reserve_bytes) == (64 * GIB, 64 * GIB)


def test_the_boxs_setting_goes_before_the_profiles_ram_budget() -> None:
    profile = Profile("x", Device("RAM", "ram", 64 * GIB, budget=Budget.parse("50%")), (CARD,))
    assert profile_pools(profile)[0].budget_bytes == 32 * GIB
    ram, card = profile_pools(profile, ram_budget_bytes=5 * GIB)
    assert (ram.budget_bytes, card.budget_bytes) == (5 * GIB, 11 * GIB)
    assert profile_pools(profile, ram_budget_bytes=999 * GIB)[0].budget_bytes == 64 * GIB


@pytest.mark.parametrize(
    ("budget", "reserve", "spendable", "kept"),
    [
        ("100%", None, 100, 0),  # a budget that is set takes from the default reserve
        ("90%", "20%", 80, 20),  # a reserve that is set is kept
        ("50%", "20%", 50, 20),
        (None, "0%", 100, 0),
        ("0%", None, 0, 25),
    ],
)
def test_what_the_owner_set_goes_before_the_default(
    budget: str | None, reserve: str | None, spendable: int, kept: int
) -> None:
    parsed = [None if text is None else Budget.parse(text) for text in (budget, reserve)]
    (pool,) = profile_pools(Profile("x", Device("RAM", "ram", 100, None, None, *parsed)))
    assert (pool.budget_bytes, pool.reserve_bytes) == (spendable, kept)


AMOUNTS = st.one_of(
    st.none(),
    st.integers(0, 1 << 40).map(lambda n_bytes: Budget(n_bytes=n_bytes)),
    st.floats(0, 100).map(lambda percent: Budget(percent=percent)),
)


@given(st.integers(1, 1 << 40), AMOUNTS, AMOUNTS, st.sampled_from(["gpu", "ram"]))
def test_spendable_and_kept_free_never_exceed_the_device(
    memory_bytes: int, budget: Budget | None, reserve: Budget | None, kind: DeviceKind
) -> None:
    device = Device("x", kind, memory_bytes, budget=budget, reserve=reserve)
    assert device.budget_bytes >= 0
    assert device.reserve_bytes >= 0
    assert device.budget_bytes + device.reserve_bytes <= memory_bytes
    if budget is not None:
        assert device.budget_bytes <= budget.of(memory_bytes)
