"""How far a told size may lie from the real one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inference.core.loads.options import LoadOptions
from tests.bench.memory_cases import MIB, Case

CASE = Case(
    variant="x",
    n_gpu_layers=1,
    options=LoadOptions(),
    device="gpu0",
    told_bytes=1000 * MIB,
    dry_run_bytes=1000 * MIB,
    real_bytes=1000 * MIB,
    rounding_bytes=MIB // 100,
)


@pytest.mark.parametrize(
    ("told_mib", "real_mib", "share"),
    [(164, 100, 1), (132, 100, 0.5), (10300, 10000, 1), (10600, 10000, 2), (9, 10, -1 / 64)],
)
def test_the_allowance_is_three_percent_or_64_mib_whichever_is_more(told_mib: int, real_mib: int, share: float) -> None:
    case = replace(CASE, told_bytes=told_mib * MIB, real_bytes=real_mib * MIB)
    assert case.share_of_allowance == pytest.approx(share)
    assert (case.above_bytes < 0) == (told_mib < real_mib)


def test_a_dry_run_is_not_blamed_for_digits_that_the_log_leaves_out() -> None:
    assert replace(CASE, dry_run_bytes=1000 * MIB + MIB // 100).dry_run_error == 0
    assert replace(CASE, dry_run_bytes=1010 * MIB).dry_run_error == pytest.approx(0.01, rel=0.01)
    assert replace(CASE, dry_run_bytes=990 * MIB).dry_run_error == pytest.approx(0.01, rel=0.01)
    assert replace(CASE, dry_run_bytes=None).dry_run_error == 0
