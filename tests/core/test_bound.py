"""Nobody waits beyond a bound, however much the others want."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from inference.core.scheduling.memory.residency import VariantFacts
from tests.core.scheduler_world import gpu, ram, variant, way
from tests.core.simulation import Pace, Person, Simulation
from tests.properties import examples

MAX_WAIT_SECONDS = 10.0
BUDGET_BYTES = 100
CARD_BYTES = 100

seconds = st.integers(0, 40).map(lambda tenths: tenths / 10)


def bound_seconds(pace: Pace, people: list[Person], waits: Person) -> float:
    """The longest that one request of `waits` may take to its lease, where no worker fails and everybody asks one thing at a time.

    With W for `max_wait_seconds`, S for the longest answer, an unload and a load together, K for the other variants that
    anybody wants and P for the other people who want the same one, it is (1 + K) × (W + S) + 2 × P answers:

    - in the line of a resident variant: W until a batch request counts as any other, and P turns; just before its own turn the
      variant may have to give way, which takes an answer and an unload (and the load is the one after next);
    - once overdue it goes before all who ask later, and others come first once each: after such a stay they are the ones who
      gave way last. Each costs a load, a stay of at most W, its longest answer and an unload;
    - its own load, and P turns once more. That these fit into a stay (P answers ≤ W) is assumed.
    """
    others = len({each.variant_id for each in people} - {waits.variant_id})
    same = sum(each.variant_id == waits.variant_id for each in people) - 1
    swap_seconds = pace.answer_seconds + pace.unload_seconds + pace.load_seconds
    return (1 + others) * (MAX_WAIT_SECONDS + swap_seconds) + 2 * same * pace.answer_seconds


@st.composite
def shelves(draw: st.DrawFn) -> list[VariantFacts]:
    """Variants of which few fit together; half of the shelves with a lesser way for each."""
    has_card = draw(st.booleans())
    shelf = []
    for number in range(1, draw(st.integers(2, 5)) + 1):
        n_bytes, n_seq_max = draw(st.integers(25, 100)), draw(st.integers(1, 2))
        ways = (way(4.0, 9, gpu0=n_bytes, ram=1), way(draw(st.sampled_from([1.0, 3.0])), 1, gpu0=n_bytes // 2, ram=50))
        ways = tuple(replace(each, options=replace(each.options, n_seq_max=n_seq_max)) for each in ways)
        shelf.append(variant(number, n_bytes, n_seq_max, load_ways=ways if has_card else ()))
    return shelf


@st.composite
def crowds(draw: st.DrawFn, shelf: list[VariantFacts]) -> list[Person]:
    return [
        Person(
            f"person {number}",
            draw(st.sampled_from(shelf)).resident_id.variant_id,
            requests=draw(st.integers(1, 25)),
            think_seconds=draw(seconds) / 4,
            starts_at=draw(seconds) * 5,
            kind=draw(st.sampled_from(["interactive", "interactive", "batch"])),
        )
        for number in range(draw(st.integers(2, 6)))
    ]


@examples(200)
@given(st.data())
def test_nobody_waits_beyond_the_bound(data: st.DataObject) -> None:
    shelf = data.draw(shelves())
    people = data.draw(crowds(shelf))
    pace = Pace(
        load_seconds=0.05 + data.draw(seconds),
        unload_seconds=data.draw(seconds) / 4,
        answer_seconds=0.1 + data.draw(st.floats(0, 1)) * (MAX_WAIT_SECONDS / len(people) - 0.1),
    )
    Simulation((gpu(0, CARD_BYTES, capacity_bytes=200), ram(BUDGET_BYTES)), shelf, pace, MAX_WAIT_SECONDS).run(*people)
    for person in people:
        assert max(person.waits) <= bound_seconds(pace, people, person) + 1e-6
