"""Benchmark results as files: one JSON file per benchmark under `results/`, and the pages whose tables are made from them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
"""In which order the tables stand on the page."""
HIGHLIGHTS = (
    ("throughput", "generation, 1 concurrent", "one answer, against llama-server with the same sources and options"),
    ("throughput", "generation, 8 concurrent", "eight answers at once, against the same"),
    ("web", "time to first token", "time to the first token on the chat page, against the worker alone"),
    ("idle", "memory, shared pages once (PSS)", "memory of web, host and jobs while no model is loaded"),
    ("memory", "most below", "predicted from the header, however loaded: the most it was too low"),
    ("swap", "swap, request to first token", "a swap in the middle of an answer, to the first token"),
    (
        "alternate",
        "two models: all answers of both",
        "two people on two models that do not fit together, all their answers",
    ),
    ("header-plan", "80 layers, vocabulary of Llama 3: time", "planning an 80-layer model on the Hub, 100 ms away"),
    ("download", "2000 MB", "downloading and checking 2000 MB"),
    (
        "kills",
        "corrupt files and listings that were seen",
        "corrupt files and listings seen while processes were killed at random",
    ),
)
"""The figures of the README: benchmark, the row's name up to what a measurement adds to it, and what the README calls it."""

README = "README.md"
PERFORMANCE = "docs/performance.md"
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"
_MARKED = re.compile(f"{BEGIN}.*?{END}", re.DOTALL)


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
    """Every stored report, in the page's order, and last those of cards; those never measured are left out."""
    paths = [path for name in ORDER if (path := directory / f"{name}.json").is_file()]
    cards = sorted(directory.glob("gpu-*.json"))  # tests/gpu, one of each card
    return [report_from_json(json.loads(path.read_text(encoding="utf-8"))) for path in (*paths, *cards)]


def tables(reports: Sequence[Report]) -> str:
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


def highlights(reports: Sequence[Report]) -> str:
    """The README's table. Raises KeyError where a figure of it was never measured."""
    rows = {(report.benchmark, row.name): row for report in reports for row in report.rows}
    chosen = []
    for benchmark, beginning, label in HIGHLIGHTS:
        found = [row for (of, name), row in rows.items() if of == benchmark and f"{name},".startswith(f"{beginning},")]
        if len(found) != 1:
            raise KeyError(f"{benchmark}: {len(found)} rows are called {beginning!r}")
        chosen.append(replace(found[0], name=label))
    return table(chosen)


def with_tables(page: str, text: str) -> str:
    """The page with the text between its marks, and nothing else changed. Raises ValueError where it has no marks."""
    if len(_MARKED.findall(page)) != 1:
        raise ValueError(f"expected one pair of {BEGIN} and {END}")
    return _MARKED.sub(lambda _: f"{BEGIN}\n\n{text.strip()}\n\n{END}", page)


def write_pages(reports: Sequence[Report], root: Path) -> None:
    """Puts the stored figures into the README and docs/performance.md."""
    for name, text in ((README, highlights(reports)), (PERFORMANCE, tables(reports))):
        page = root / name
        page.write_text(with_tables(page.read_text(encoding="utf-8"), text), encoding="utf-8")


def _where(report: Report) -> str:
    machine = report.machine
    commit = (report.commit or "unknown")[:10] + (" with local changes" if report.dirty else "")
    return (
        f"Measured on {machine.get('cpu', 'an unknown CPU')}, {machine.get('cores', '?')} cores,"
        f" {machine.get('memory_gib', '?')} GiB, {machine.get('system', '?')}, Python {machine.get('python', '?')},"
        f" llama-cpp-python {machine.get('llama_cpp_python', '?')}, commit {commit}.\n"
    )
