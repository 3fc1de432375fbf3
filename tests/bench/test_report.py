"""Reports are stored as JSON and read back into the tables of the README and of docs/performance.md."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.machine import ROOT
from tests.bench.report import PERFORMANCE, README, Report, highlights, read_all, tables, with_tables, write
from tests.bench.results import Row, Side, Target


def report(benchmark: str, *, commit: str = "0123456789abcdef", dirty: bool = False) -> Report:
    return Report(
        benchmark=benchmark,
        title=f"Title of {benchmark}",
        rounds=2,
        conditions={"tokens_per_answer": 128},
        rows=[Row("one", "ms", Side("ours", (1.0, 2.0)), Side("theirs", (2.0, 4.0)), "ratio", Target("at least", 0.5))],
        details={"client": 3.5},
        machine={"cpu": "A CPU", "cores": 2, "memory_gib": 24.0, "system": "Linux", "python": "3.11.7"},
        commit=commit,
        dirty=dirty,
        measured_at="2026-01-02T03:04:05+00:00",
    )


def test_a_stored_report_reads_back_as_it_was(tmp_path: Path) -> None:
    write(report("web"), tmp_path)
    assert read_all(tmp_path) == [report("web")]


def test_reports_come_back_in_the_pages_order_and_missing_ones_are_left_out(tmp_path: Path) -> None:
    write(report("idle"), tmp_path)
    write(report("throughput"), tmp_path)
    assert [each.benchmark for each in read_all(tmp_path)] == ["throughput", "idle"]


def test_each_card_has_a_report_of_its_own_behind_the_others(tmp_path: Path) -> None:
    for name in ("gpu-nvidia-h200", "memory", "gpu-nvidia-geforce-rtx-3060"):
        write(report(name), tmp_path)
    assert [each.benchmark for each in read_all(tmp_path)] == [
        "memory",
        "gpu-nvidia-geforce-rtx-3060",
        "gpu-nvidia-h200",
    ]


def test_the_machine_is_named_once_for_reports_of_one_run() -> None:
    text = tables([report("throughput"), report("web")])
    assert text.count("Measured on A CPU, 2 cores") == 1
    assert "commit 0123456789." in text
    assert text.index("Title of throughput") < text.index("Title of web")


def test_a_report_of_another_commit_names_its_own() -> None:
    text = tables([report("throughput"), report("web", commit="f" * 40, dirty=True)])
    assert text.count("Measured on") == 2
    assert "commit ffffffffff with local changes." in text


def test_a_disturbed_measurement_says_so_under_its_table() -> None:
    quiet = {"samples": 28, "samples_repeated": 2, "samples_disturbed": 14, "most_foreign_cores": 1.196}
    disturbed = replace(report("throughput"), details={"quiet": quiet}).markdown()
    assert disturbed.endswith(
        "Other programs used the CPU during 14 of 28 samples (up to 1.20 cores): not a measurement to rely on.\n"
    )
    undisturbed = replace(report("throughput"), details={"quiet": {**quiet, "samples_disturbed": 0}}).markdown()
    assert "Other programs" not in undisturbed


def test_the_command_prints_what_is_stored_without_a_box_being_set_up() -> None:
    told = subprocess.run([sys.executable, "-m", "tests.bench", "table"], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip() == tables(read_all()).strip()


def test_the_pages_hold_what_is_stored() -> None:
    """After a measurement: python -m tests.bench pages."""
    for name, text in ((README, highlights(read_all())), (PERFORMANCE, tables(read_all()))):
        page = (ROOT / name).read_text(encoding="utf-8")
        assert with_tables(page, text) == page


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = "# Title\n\n<!-- measured -->\n\nold\n\n<!-- end of measured -->\n\nprose\n"
    assert with_tables(page, "new\n") == page.replace("old", "new")


def test_a_page_without_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="expected one pair"):
        with_tables("# Title\n", "new")


def test_a_highlight_that_was_never_measured_is_named() -> None:
    with pytest.raises(KeyError, match="throughput: 0 rows are called 'generation, 1 concurrent'"):
        highlights([report("web")])
