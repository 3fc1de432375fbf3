"""A residency walks its states in order, and counts bytes only while a worker exists."""

from __future__ import annotations

import pytest

from inference.core.loads.devices import RAM
from inference.core.loads.options import LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.memory.residency import TRANSITIONS, IllegalTransition, Residency, VariantFacts


def facts(kv_bytes_per_token: int | None) -> VariantFacts:
    return VariantFacts(
        ResidentId(1), "one", "/one.gguf", 1000, kv_bytes_per_token, LoadOptions(n_ctx_seq=100, n_seq_max=3)
    )


def test_the_estimate_is_file_bytes_plus_the_kv_cache_of_every_slot() -> None:
    assert facts(2).kv_bytes == 600
    assert facts(2).estimate_bytes == 1600


def test_an_unknown_kv_cache_counts_the_file_alone() -> None:
    assert facts(None).kv_bytes is None
    assert facts(None).estimate_bytes == 1000


def test_a_life_goes_round() -> None:
    residency = Residency(facts(2))
    for state in ("loading", "resident", "draining", "unloading", "absent", "loading", "failed", "loading"):
        residency.become(state)
    assert residency.state == "loading"


@pytest.mark.parametrize("state", TRANSITIONS)
def test_no_state_is_skipped(state: str) -> None:
    allowed = TRANSITIONS[state]  # type: ignore[index]
    for wanted in TRANSITIONS:
        residency = Residency(facts(2), state=state)  # type: ignore[arg-type]
        if wanted in allowed:
            residency.become(wanted)
        else:
            with pytest.raises(IllegalTransition):
                residency.become(wanted)


def test_bytes_come_back_with_the_end_of_the_worker() -> None:
    for last in ("absent", "failed"):
        residency = Residency(
            facts(2), state="unloading" if last == "absent" else "loading", bytes_by_device={RAM: 1600}
        )
        residency.leases.add(1)
        residency.become(last)  # type: ignore[arg-type]
        assert residency.reserved_bytes == 0
        assert residency.leases == set()
