"""Medians, ratios, targets and the tables made of them."""

from __future__ import annotations

import pytest

from tests.bench.results import Row, Side, Target, row_from_json, table


def row(
    ours: tuple[float, ...] = (10.0, 20.0, 30.0),
    theirs: tuple[float, ...] | None = (10.0, 10.0, 10.0),
    comparison: str = "ratio",
    target: Target | None = None,
) -> Row:
    return Row(
        name="generation",
        unit="tokens/s",
        ours=Side("engine", ours),
        theirs=None if theirs is None else Side("llama-server", theirs),
        comparison=comparison,  # type: ignore[arg-type]
        target=target,
    )


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    # The medians alone would say 20 / 40 = 0.5; within each round we were twice as fast in two of three.
    slowing = row(ours=(100.0, 20.0, 10.0), theirs=(50.0, 40.0, 5.0))
    assert slowing.figure == 2.0
    assert slowing.per_round == (2.0, 0.5, 2.0)


def test_a_difference_is_taken_within_each_round() -> None:
    assert row(ours=(700.0, 500.0, 600.0), theirs=(300.0, 250.0, 310.0), comparison="difference").figure == 290.0


def test_a_value_stands_alone() -> None:
    assert row(ours=(3.0, 1.0, 2.0), theirs=None, comparison="value").figure == 2.0


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target("at least", 2.0), True),
        (Target("at least", 2.01), False),
        (Target("at most", 2.0), True),
        (Target("at most", 1.99), False),
        (None, None),
    ],
)
def test_a_target_is_met_up_to_its_very_value(target: Target | None, met: bool | None) -> None:
    assert row(target=target).met is met


def test_sides_of_different_lengths_are_not_comparable() -> None:
    with pytest.raises(ValueError, match="3 samples of engine against 2 of llama-server"):
        row(theirs=(1.0, 2.0))


def test_a_ratio_needs_two_sides_and_a_value_only_one() -> None:
    with pytest.raises(ValueError, match="needs two sides"):
        row(theirs=None)
    with pytest.raises(ValueError, match="needs one side"):
        row(comparison="value")


def test_a_side_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="engine: no samples"):
        row(ours=(), theirs=())


def test_json_carries_every_sample_and_comes_back_as_the_same_row() -> None:
    original = row(target=Target("at least", 1.0))
    values = original.to_json()
    assert values["figure"] == 2.0
    assert values["met"] is True
    assert values["sides"][1] == {"name": "llama-server", "median": 10.0, "samples": [10.0, 10.0, 10.0]}
    assert row_from_json(values) == original


def test_the_table_says_what_was_missed() -> None:
    missed = row(ours=(9.0, 9.5, 9.9), target=Target("at least", 1.0))
    assert table([missed]).splitlines()[2] == (
        "| generation | 9.50 tokens/s (engine) | 10.00 tokens/s (llama-server) | × 0.950 (0.900 to 0.990) | ≥ × 1 | **no** |"
    )


def test_the_table_shows_a_difference_with_its_sign_and_unit() -> None:
    slower = Row(
        "start", "ms", Side("worker", (800.0,)), Side("bare", (250.0,)), "difference", Target("at most", 400.0)
    )
    assert table([slower]).splitlines()[2] == (
        "| start | 800.0 ms (worker) | 250.0 ms (bare) | +550.0 ms (550.0 to 550.0) | ≤ 400 ms | **no** |"
    )


def test_a_row_without_a_target_has_no_verdict() -> None:
    alone = Row("memory", "MB", Side("serve", (41.0,)), None, "value")
    assert table([alone]).splitlines()[2] == "| memory | 41.00 MB (serve) |  |  |  |  |"
