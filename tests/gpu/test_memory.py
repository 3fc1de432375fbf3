"""What is told before a load, what the worker counts, and what NVML says of its process: one of each kind of memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu.cards import Cards, devices
from tests.gpu.findings import Findings
from tests.gpu.loads import figures
from tests.gpu.subjects import SUBJECTS, WANTED, way, written


@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_cards_hold_what_was_told_and_what_the_worker_counts(
    subject: str, wanted: str, models_folder: Path, tmp_path: Path, cards: Cards, findings: Findings
) -> None:
    path = written(SUBJECTS[subject], models_folder)
    loads = figures(f"{subject}, {wanted}", path, tmp_path, cards, way(path, WANTED[wanted], devices(cards)))
    assert loads, "nothing went to a card"
    findings.loads += loads
    print("", *loads, sep="\n", end=" ")
    assert not [fault for load in loads for fault in load.faults()]
