from __future__ import annotations

import pytest

from models_app.hardware.cards import card, cards
from models_app.hardware.profile import GIB, BadAmount, Budget, Device, parse_bytes


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("12GiB", 12 * GIB),
        ("11.5 gib", 23 * GIB // 2),
        ("360GB/s", 360 * 10**9),
        ("512MiB", 512 << 20),
        ("1000", 1000),
        ("64gb", 64 * 10**9),
    ],
)
def test_amounts_are_read_as_people_write_them(text: str, n_bytes: int) -> None:
    assert parse_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["", "much", "-1GiB", "12GiX", "1e9", "9999999TiB", "12 GiB 3"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadAmount):
        parse_bytes(text)


def test_a_budget_in_percent_may_not_exceed_the_whole() -> None:
    assert Budget.parse("90%").of(1000) == 900
    assert Budget.parse("2GiB").of(GIB) == GIB
    with pytest.raises(BadAmount):
        Budget.parse("101%")


def test_by_default_a_card_keeps_room_for_a_desktop() -> None:
    small = Device("a", "gpu", 4 * GIB)
    assert 3 * GIB < small.budget_bytes < 4 * GIB
    assert Device("b", "gpu", 4 * GIB, budget=Budget.parse("3.9GiB")).budget_bytes == parse_bytes("3.9GiB")
    assert Device("c", "gpu", 4 * GIB, reserve=Budget(n_bytes=0)).budget_bytes == 4 * GIB


def test_common_cards_are_known_by_any_spelling() -> None:
    assert card("rtx 3060") == card("NVIDIA GeForce RTX 3060")
    assert card("RTX 9999") is None
    assert len({each.name for each in cards()}) == len(cards())
    assert all(each.bandwidth_bytes_per_second and each.memory_bytes >= 4 * GIB for each in cards())
