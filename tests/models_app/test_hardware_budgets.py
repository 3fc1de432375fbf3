from __future__ import annotations

import pytest

from models_app.hardware import Budget, Device
from models_app.hardware.budgets import Amounts, BadAmounts, StoredAmounts, change_message, read_amounts, warnings
from models_app.hardware.profile import GIB

CARD = Device("RTX 3060", "gpu", 12 * GIB)


def test_amounts_are_read_in_bytes_or_percent_or_left_to_the_default() -> None:
    assert read_amounts(Amounts("11.5GiB", ""), CARD) == (Budget(n_bytes=23 * GIB // 2), None)
    assert read_amounts(Amounts(" 90% ", "512 MiB"), CARD) == (Budget(percent=90), Budget(n_bytes=GIB // 2))
    assert read_amounts(Amounts("0", "0"), CARD) == (Budget(n_bytes=0), Budget(n_bytes=0))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("much", "no amount of memory"),
        ("200%", "no amount of memory"),
        ("-1GiB", "no amount of memory"),
        ("10GB/s", "no amount of memory"),
        ("13GiB", "13GiB is more than the card has, 12.0 GiB"),
        ("12", "Write 12GiB or 12%"),
    ],
)
def test_a_wrong_amount_gets_a_sentence_at_its_own_field(text: str, says: str) -> None:
    for amounts, name in ((Amounts(budget=text), "budget"), (Amounts(reserve=text), "reserve")):
        with pytest.raises(BadAmounts) as bad:
            read_amounts(amounts, CARD)
        assert list(bad.value.problems) == [name]
        assert says in str(bad.value)


def test_a_budget_below_what_is_pinned_is_a_warning() -> None:
    card = Device("Card", "gpu", 12 * GIB, budget=Budget.parse("4GiB"))
    (warning,) = warnings(card, 5 * GIB)
    assert "Pinned models hold 5 GiB on Card, more than the 4 GiB" in warning
    assert warnings(card, 4 * GIB) == ()


def test_a_budget_that_the_reserve_cuts_short_says_so() -> None:
    card = Device("Card", "gpu", 12 * GIB, budget=Budget.parse("12GiB"), reserve=Budget.parse("2GiB"))
    (warning,) = warnings(card, 0)
    assert "only 10.0 GiB can be spent" in warning
    (nothing,) = warnings(Device("Card", "gpu", 12 * GIB, budget=Budget.parse("0%")), 0)
    assert nothing == "Nothing is put on Card now."


def test_stored_amounts_change_for_one_device_and_leave_the_others() -> None:
    before = StoredAmounts([{"name": "a", "budget": "1GiB"}, {"name": "b", "reserve": "5%"}], "50%", "")
    after = before.with_amounts("gpu0", Amounts("", "10%"))
    assert after.gpus == [{"name": "a", "reserve": "10%"}, {"name": "b", "reserve": "5%"}]
    assert before.of("gpu0") == Amounts("1GiB", "")
    assert after.with_amounts("ram", Amounts("1GiB", "2GiB")).of("ram") == Amounts("1GiB", "2GiB")
    for device in ("gpu2", "gpu-1", "disk"):
        with pytest.raises(LookupError):
            before.of(device)


def test_a_change_is_told_with_both_values() -> None:
    told = change_message("RTX 3060", Amounts("90%", ""), Amounts("", "1GiB"))
    assert told == "Budget of RTX 3060: 90% → default; reserve of RTX 3060: default → 1GiB."
    assert change_message("RTX 3060", Amounts("90%"), Amounts("90%")) is None
