"""The number of decode threads follows what is fastest on the machine as it is now."""

from __future__ import annotations

from dataclasses import dataclass, field

from inference.core.decoding.threads import LONGEST_HOLD_SECONDS, ThreadCount


@dataclass
class Machine:
    """Seconds per step and involuntary switches for each number of threads, on a clock of its own."""

    steps: dict[int, float]
    switches: int = 0
    now: float = 0.0
    used: list[int] = field(default_factory=list)

    def run(self, count: ThreadCount, seconds: float, n_tokens: int = 1) -> None:
        until = self.now + seconds
        self.used = []
        while self.now < until:
            took = self.steps[count.current]
            self.used.append(count.current)
            self.now += took
            count.note(n_tokens, took, self.switches, self.now)

    def share(self, n_threads: int) -> float:
        """Of the steps of the last run, those with `n_threads`."""
        return self.used.count(n_threads) / len(self.used)


def test_a_quiet_machine_never_changes() -> None:
    count = ThreadCount(8)
    quiet = Machine({8: 0.01, 4: 0.001, 2: 0.001, 1: 0.001})
    quiet.run(count, 60)
    assert quiet.share(8) == 1, "without a sign of others nothing is tried, whatever it would bring"


def test_a_busy_machine_is_left_with_fewer_threads_within_seconds() -> None:
    count = ThreadCount(2)
    busy = Machine({2: 0.3, 1: 0.015}, switches=20)
    busy.run(count, 3)
    assert count.current == 1
    busy.run(count, 60)
    assert busy.share(1) > 0.99


def test_when_the_machine_is_quiet_again_all_threads_come_back() -> None:
    count = ThreadCount(2)
    Machine({2: 0.3, 1: 0.015}, switches=20).run(count, 3)
    quiet = Machine({2: 0.007, 1: 0.012}, now=3)
    quiet.run(count, LONGEST_HOLD_SECONDS + 5)
    assert count.current == 2


def test_others_that_do_no_harm_cost_next_to_nothing() -> None:
    count = ThreadCount(2)
    shared = Machine({2: 0.008, 1: 0.014}, switches=5)
    shared.run(count, 10)
    shared.run(count, 200)
    assert shared.share(2) > 0.98


def test_sudden_slowness_does_not_wait_for_the_next_trial() -> None:
    count = ThreadCount(2)
    machine = Machine({2: 0.008, 1: 0.014}, switches=5)
    machine.run(count, 200)
    assert count.current == 2
    machine.steps, machine.switches = {2: 0.3, 1: 0.02}, 30
    machine.run(count, 4)
    assert count.current == 1


def test_the_best_of_many_counts_is_found() -> None:
    count = ThreadCount(16)
    machine = Machine({16: 0.2, 8: 0.1, 4: 0.03, 2: 0.05, 1: 0.09}, switches=30)
    machine.run(count, 120)
    machine.run(count, 300)
    assert machine.share(4) > 0.9


def test_steps_of_different_size_are_not_compared() -> None:
    count = ThreadCount(2)
    machine = Machine({2: 0.1, 1: 0.1}, switches=50)
    machine.run(count, 0.6, n_tokens=1)
    assert count.current == 1, "a trial is on"
    machine.steps = {2: 0.1, 1: 0.02}
    machine.run(count, 0.1, n_tokens=8)
    assert count.current == 2, "and ends without a verdict when the work changes"


def test_one_thread_is_the_least() -> None:
    count = ThreadCount(1)
    Machine({1: 0.1}, switches=100).run(count, 20)
    assert count.current == 1
