"""The cards, and what all checks together found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gpu.cards import Cards, cuda_cards
from tests.gpu.findings import Findings

_FINDINGS = pytest.StashKey[Findings]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--store", action="store_true", help="keep the figures as tests/bench/results/gpu-CARD.json")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FINDINGS] = Findings()


@pytest.fixture(scope="session")
def cards() -> Iterator[Cards]:
    found = cuda_cards()
    yield found
    found.close()


@pytest.fixture(scope="session")
def findings(request: pytest.FixtureRequest, cards: Cards) -> Findings:
    found = request.config.stash[_FINDINGS]
    found.cards = tuple(cards.names)
    return found


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that several checks load."""
    return tmp_path_factory.mktemp("models")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    findings = config.stash[_FINDINGS]
    failed = [each.nodeid for kind in ("failed", "error") for each in terminalreporter.stats.get(kind, ())]
    report = findings.report(failed)
    if report is None:
        return
    terminalreporter.write_line("\n" + report.markdown())
    for line in findings.remarks:
        terminalreporter.write_line(line)
    if config.getoption("--store"):
        terminalreporter.write_line(f"stored in {findings.store(report)}")
