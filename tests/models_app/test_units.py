from __future__ import annotations

import pytest

from models_app.units import format_bytes, format_params


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
    ("n_params", "words"),
    [(999, "999"), (134_515_008, "135M"), (8_030_261_248, "8.03B"), (1_000_000_000_000, "1T"), (7_600_000, "7.6M")],
)
def test_parameters_read_as_people_say_them(n_params: int, words: str) -> None:
    assert format_params(n_params) == words
