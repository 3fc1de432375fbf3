"""Sizes and durations read the same, whether the server writes them or the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from models_app.units import format_bytes, format_duration
from tests.browser.conftest import OpenPage

SIZES = [0, 1, 512, 1000, 1023, 1024, 1151, 1152, 1153, 10_234, 10_240, 98_304, 102_348, 102_400, 102_912, 103_936]
SIZES += [
    1_047_552,
    1_048_575,
    1_048_576,
    1_179_648,
    72_876_032,
    4_912_898_048,
    25_433_243_648,
    10**12,
    2**40,
    7 * 2**50,
]
SIZES += [round(1.005 * 1024**unit) for unit in range(5)] + [round(9.995 * 1024**unit) for unit in range(5)]
SECONDS = [
    0,
    0.04,
    0.05,
    0.051,
    0.15,
    0.25,
    0.35,
    0.4,
    0.949,
    0.95,
    1,
    1.5,
    2.5,
    59,
    89.4,
    89.5,
    89.99,
    90,
    119,
    150,
    210,
    5399,
    5400,
    9000,
    12_600,
    129_599,
    129_600,
]
SECONDS += [216_000, 302_400, 10**7]


@pytest.mark.parametrize(
    ("name", "written", "values"),
    [("size", format_bytes, SIZES), ("duration", format_duration, SECONDS)],
    ids=["sizes", "durations"],
)
def test_the_page_writes_numbers_as_the_server_does(
    open_page: OpenPage, name: str, written: Callable[[Any], str], values: list[float]
) -> None:
    page = open_page("/chat/")
    shown = page.evaluate(
        'async ([name, values]) => { const numbers = await import("/static/js/shared/numbers.js"); return values.map(numbers[name]); }',
        [name, values],
    )
    assert dict(zip(values, shown, strict=True)) == {value: written(value) for value in values}
