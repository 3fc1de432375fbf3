from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.core.monitoring.history import History

FIGURES = st.dictionaries(st.sampled_from("abc"), st.none() | st.integers(0, 2**40) | st.floats(0, 1e6), max_size=3)


@given(rows=st.lists(FIGURES, max_size=30), n_samples=st.integers(1, 8))
def test_the_ring_gives_out_its_newest_rows_in_order(rows: list[dict[str, float | None]], n_samples: int) -> None:
    history = History(n_samples)
    for at, row in enumerate(rows):
        history.append(at, row)
    kept = rows[-n_samples:]
    assert history.at == list(range(len(rows)))[-n_samples:]
    told = {name for row in kept for name, figure in row.items() if figure is not None}
    assert history.series == {name: [row.get(name) for row in kept] for name in told}


@given(rows=st.lists(FIGURES, max_size=20))
def test_a_copy_made_of_what_was_given_out_gives_out_the_same(rows: list[dict[str, float | None]]) -> None:
    history, copy = History(6), History(6)
    for at, row in enumerate(rows):
        history.append(at, row)
    copy.extend(history.at, history.series)
    assert (copy.at, copy.series) == (history.at, history.series)


def test_whole_numbers_are_written_short() -> None:
    history = History()
    history.append(0, {"bytes": 12884901888.0, "rate": 0.5})
    assert str(history.series) == "{'bytes': [12884901888], 'rate': [0.5]}"
