"""What the checks of tests/gpu make of what they measured; and that most of them need no more than an engine does."""

from __future__ import annotations

import subprocess
import sys

from tests.gpu.cards import Held
from tests.gpu.findings import Findings
from tests.gpu.loads import MIB, Figures
from tests.nvml.machine import BASE_DIR

WITHOUT_A_HOST = """
import sys
for name in ("django", "channels", "unfold", "pytest_asyncio", "pytest_django", "websockets", "openai"):
    sys.modules[name] = None  # whoever imports it fails
import tests.gpu.__main__, tests.gpu.conftest
import tests.gpu.test_cards, tests.gpu.test_ending, tests.gpu.test_growth, tests.gpu.test_memory, tests.gpu.test_no_memory
import tests.gpu.test_life
from tests.gpu.life import what_is_missing
print(what_is_missing())
"""


def load(told: int, exact: int, buffers: int, nvml: int) -> Figures:
    """In MiB."""
    return Figures("a model", "gpu0", told * MIB, exact * MIB, buffers * MIB, Held(nvml * MIB, True))


def test_a_load_as_it_was_told_has_no_fault() -> None:
    assert list(load(1010, 1000, 1000, 1500).faults()) == []
    assert list(load(160, 100, 100, 600).faults()) == [], "60 MiB above is little"


def test_each_fault_is_worded() -> None:
    def fault(figures: Figures) -> str:
        (fault,) = figures.faults()
        return fault

    assert fault(load(990, 1000, 1000, 1500)).endswith("The header tells 10.00 MiB too little")
    assert fault(load(4200, 4000, 4000, 4500)).endswith("The header tells 200 MiB too much")
    assert fault(load(1010, 1010, 1000, 1500)).endswith("The dry run is wrong by 1.00 %")
    assert "besides its buffers" in fault(load(1000, 1000, 1000, 1000))
    assert "besides its buffers" in fault(load(1000, 1000, 1000, 4000))


def test_a_dry_run_may_count_the_copies_of_a_batch_twice_and_nothing_else() -> None:
    def beside(exact: int) -> bool:
        held = Held(1500 * MIB, True)
        return bool(list(Figures("a model", "gpu1", 1000 * MIB, exact * MIB, 1000 * MIB, held, 32 * MIB).faults()))

    assert [beside(exact) for exact in (1000, 1016, 1032, 1048)] == [False, True, False, True]


def test_the_report_is_named_by_the_cards_and_tells_the_worst() -> None:
    findings = Findings(("NVIDIA H100 80GB HBM3",), [load(1010, 1000, 1000, 1500), load(990, 1000, 1000, 1600)])
    findings.grown_bytes += [3 * MIB, 112 * MIB]
    report = findings.report(["test_memory"])
    assert report is not None
    assert report.benchmark == "gpu-nvidia-h100-80gb-hbm3"
    assert report.details["failed"] == ["test_memory"]
    below, above, beside, least, most, grown = report.rows
    assert (below.figure, below.met) == (10 * MIB, False)
    assert (above.met, beside.met) == (True, True)
    assert (least.figure, most.figure, grown.figure) == (500, 600, 112)


def test_without_a_measurement_there_is_no_report() -> None:
    assert Findings(("a card",)).report([]) is None


def test_they_are_collected_where_only_an_engine_is_installed_and_a_host_says_what_it_lacks() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_A_HOST], cwd=BASE_DIR, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "a host needs packages that are not installed here: django, channels, unfold\n"
