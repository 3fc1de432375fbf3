from models_app.jobs.rate import WINDOW_SECONDS, Rate


def test_the_first_look_tells_no_rate() -> None:
    assert Rate().see(0, 100) is None


def test_the_rate_is_of_the_last_seconds_only() -> None:
    rate = Rate()
    for second in range(20):
        rate.see(second, second * 100)
    for second in range(20, 40):
        last = rate.see(second, 2000 + (second - 20) * 10)
    assert last == 10


def test_a_stage_that_counts_anew_has_a_rate_of_its_own() -> None:
    rate = Rate()
    rate.see(0, 0)
    rate.see(1, 1000)
    assert rate.see(2, 0) is None
    assert rate.see(3, 5) == 5


def test_a_stall_longer_than_the_window_is_seen() -> None:
    rate = Rate()
    rate.see(0, 0)
    rate.see(1, 1000)
    assert rate.see(2, 1000) == 500
    assert rate.see(2 + WINDOW_SECONDS, 1000) == 0
