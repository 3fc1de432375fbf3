"""Benchmark results as files: one JSON file per benchmark under `results/`, and the README's table made from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tests.bench.results import Row, row_from_json, table

RESULTS_DIR = Path(__file__).parent / "results"
ORDER = (
    *("throughput", "web", "start", "idle", "watchers"),
    *("memory", "memory-live", "scheduling", "swap", "alternate"),
    *("models-page", "header-plan", "download", "quantize", "kills"),
)
"""In which order the tables stand in the README."""


@dataclass(frozen=True, slots=True)
class Report:
    """One run of one benchmark."""

    benchmark: str
    title: str
    rounds: int
    conditions: Mapping[str, Any]
    """What was held fixed: load options, prompt and answer lengths, build flags."""
    rows: Sequence[Row]
    details: Mapping[str, Any] = field(default_factory=dict)
    """Figures that explain the rows."""
    machine: Mapping[str, Any] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool | None = None
    """Whether the working tree differed from `commit`."""
    measured_at: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark,
            "title": self.title,
            "commit": self.commit,
            "dirty": self.dirty,
            "measured_at": self.measured_at,
            "machine": dict(self.machine),
            "rounds": self.rounds,
            "conditions": dict(self.conditions),
            "rows": [row.to_json() for row in self.rows],
            "details": dict(self.details),
        }

    def markdown(self) -> str:
        return f"**{self.title}** ({self.rounds} rounds)\n\n{table(self.rows)}\n{self._disturbance()}"

    def _disturbance(self) -> str:
        quiet = self.details.get("quiet", {})
        if not quiet.get("samples_disturbed"):
            return ""
        return (
            f"\nOther programs used the CPU during {quiet['samples_disturbed']} of {quiet['samples']} samples"
            f" (up to {quiet['most_foreign_cores']:.2f} cores): not a measurement to rely on.\n"
        )


def report_from_json(values: Mapping[str, Any]) -> Report:
    return Report(
        benchmark=values["benchmark"],
        title=values["title"],
        rounds=values["rounds"],
        conditions=values["conditions"],
        rows=[row_from_json(row) for row in values["rows"]],
        details=values["details"],
        machine=values["machine"],
        commit=values["commit"],
        dirty=values["dirty"],
        measured_at=values["measured_at"],
    )


def now() -> str:
    """The time of a measurement, to the second, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def write(report: Report, directory: Path = RESULTS_DIR) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{report.benchmark}.json"
    path.write_text(json.dumps(report.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read_all(directory: Path = RESULTS_DIR) -> list[Report]:
    """Every stored report, in the README's order, and last those of cards; those never measured are left out."""
    paths = [path for name in ORDER if (path := directory / f"{name}.json").is_file()]
    cards = sorted(directory.glob("gpu-*.json"))  # tests/gpu, one of each card
    return [report_from_json(json.loads(path.read_text(encoding="utf-8"))) for path in (*paths, *cards)]


def readme(reports: Sequence[Report]) -> str:
    """All reports as Markdown, each machine and commit named once per report that differs from the one before."""
    parts: list[str] = []
    before: tuple[Any, ...] | None = None
    for report in reports:
        where = (report.machine, report.commit, report.dirty)
        if where != before:
            parts.append(_where(report))
            before = where
        parts.append(report.markdown())
    return "\n".join(parts)


def _where(report: Report) -> str:
    machine = report.machine
    commit = (report.commit or "unknown")[:10] + (" with local changes" if report.dirty else "")
    return (
        f"Measured on {machine.get('cpu', 'an unknown CPU')}, {machine.get('cores', '?')} cores,"
        f" {machine.get('memory_gib', '?')} GiB, {machine.get('system', '?')}, Python {machine.get('python', '?')},"
        f" llama-cpp-python {machine.get('llama_cpp_python', '?')}, commit {commit}.\n"
    )
