from __future__ import annotations

import pytest

from models_app.units import format_bytes, format_duration, format_params, format_rate


@pytest.mark.parametrize(
    ("n_bytes", "words"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (23040, "22.5 KiB"),
        (1024**2 - 1, "1 MiB"),
        (4_912_898_048, "4.58 GiB"),
        (98_306_560, "93.8 MiB"),
        (600 * 1024**3, "600 GiB"),
        (5 * 1024**5, "5120 TiB"),
    ],
)
def test_bytes_read_as_people_say_them(n_bytes: int, words: str) -> None:
    assert format_bytes(n_bytes) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.049, "0 s"),
        (0.051, "0.1 s"),
        (0.15, "0.2 s"),
        (0.42, "0.4 s"),
        (0.949, "0.9 s"),
        (0.95, "1 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (5399, "90 min"),
        (5400, "2 h"),
        (129_599, "36 h"),
        (129_600, "2 d"),
        (10**7, "116 d"),
    ],
)
def test_durations_have_the_digits_that_matter(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


@pytest.mark.parametrize(("rate", "words"), [(360 * 10**9, "360 GB/s"), (51_234_000_000, "51.2 GB/s")])
def test_memory_is_as_fast_as_vendors_print_it(rate: int, words: str) -> None:
    assert format_rate(rate) == words


@pytest.mark.parametrize(
    ("n_params", "words"),
    [(999, "999"), (134_515_008, "135M"), (8_030_261_248, "8.03B"), (1_000_000_000_000, "1T"), (7_600_000, "7.6M")],
)
def test_parameters_read_as_people_say_them(n_params: int, words: str) -> None:
    assert format_params(n_params) == words
