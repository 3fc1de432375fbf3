"""Which variant is recommended on which box, and on what grounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.core.planning.fit import Fit
from inference.core.planning.recommend import Candidate, recommend

BITS = {"F16": 16.0, "Q8_0": 8.5, "Q6_K": 6.6, "Q5_K_M": 5.7, "Q4_K_M": 4.9, "Q3_K_M": 3.9, "Q2_K": 2.9}


def candidate(name: str, fit: str = "whole", speed: float | None = 40.0, has_room: bool | None = True) -> Candidate:
    return Candidate(name, int(BITS[name] * 10**9), BITS[name], Fit(fit), speed, has_room)


def test_the_best_quality_that_fits_wholly_and_is_fast() -> None:
    found = recommend([candidate("Q4_K_M"), candidate("Q8_0"), candidate("Q6_K"), candidate("F16")])
    assert (found.key, found.ground, found.better) == ("Q8_0", "best_whole", None)


def test_a_better_one_that_is_slow_is_named_and_not_taken() -> None:
    found = recommend([candidate("Q4_K_M", speed=12), candidate("Q5_K_M", speed=9), candidate("Q8_0", speed=6)])
    assert (found.key, found.ground, found.better) == ("Q4_K_M", "best_whole", "Q8_0")


def test_what_fits_wholly_goes_before_what_does_not() -> None:
    found = recommend([candidate("Q4_K_M", speed=30), candidate("Q8_0", "part", speed=15)])
    assert (found.key, found.ground) == ("Q4_K_M", "best_whole")


def test_where_nothing_sound_fits_wholly_a_fast_one_in_part_is_taken() -> None:
    found = recommend([candidate("Q3_K_M"), candidate("Q4_K_M", "part", 14), candidate("Q6_K", "part", 11)])
    assert (found.key, found.ground) == ("Q6_K", "best_part")


def test_a_small_one_that_fits_wholly_goes_before_slow_ones() -> None:
    found = recommend([candidate("Q2_K"), candidate("Q3_K_M"), candidate("Q4_K_M", "part", 4)])
    assert (found.key, found.ground) == ("Q3_K_M", "small_whole")


def test_among_slow_ones_the_fastest_sound_one() -> None:
    found = recommend([candidate("Q2_K", speed=6), candidate("Q4_K_M", speed=4), candidate("Q8_0", speed=2)])
    assert (found.key, found.ground) == ("Q4_K_M", "fastest")
    assert recommend([candidate("Q4_K_M", speed=4), candidate("Q5_K_M", speed=3.7)]).key == "Q5_K_M"


def test_what_the_disk_has_no_room_for_is_not_recommended() -> None:
    found = recommend([candidate("Q4_K_M"), candidate("Q8_0", has_room=False)])
    assert found.key == "Q4_K_M"
    assert recommend([candidate("Q8_0", has_room=False)]).lack == "no_room"


def test_why_nothing_is_recommended() -> None:
    assert recommend([]).lack == "nothing"
    assert recommend([candidate("Q4_K_M", "no", None)]).lack == "too_large"
    assert recommend([candidate("Q4_K_M", "unknown", None)]).lack == "unknown"


def test_unquantized_weights_only_where_nothing_else_is() -> None:
    assert recommend([candidate("F16"), candidate("Q2_K", speed=3)]).ground == "small"
    assert recommend([candidate("F16")]).ground == "unquantized"


candidates = st.builds(
    candidate,
    st.sampled_from(sorted(BITS)),
    st.sampled_from(["whole", "part", "ram", "no", "unknown"]),
    st.one_of(st.none(), st.floats(0.1, 200)),
    st.sampled_from([True, False, None]),
)


@given(st.lists(candidates, max_size=8, unique_by=lambda each: each.key))
def test_whatever_is_recommended_fits_and_has_room(offered: list[Candidate]) -> None:
    found = recommend(offered)
    by_key = {each.key: each for each in offered}
    usable = [each for each in offered if each.fit not in ("no", "unknown") and each.has_room is not False]

    assert (found.key is None) == (not usable)
    assert (found.key is None) == (found.lack is not None) == (found.ground is None)
    if found.key is not None:
        assert by_key[found.key] in usable
    if found.better is not None:
        assert by_key[found.better].bits_per_weight > by_key[str(found.key)].bits_per_weight
