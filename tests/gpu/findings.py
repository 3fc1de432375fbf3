"""What the checks measured on the cards, gathered into one report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench import machine
from tests.bench.report import Report, now, write
from tests.bench.results import Row, Side, Target
from tests.gpu.loads import MIB, MOST_DRY_RUN_ERROR, Figures

HEADER, DRY_RUN, NVML = "header", "dry run + header", "NVML"


@dataclass(slots=True)
class Findings:
    cards: tuple[str, ...] = ()
    loads: list[Figures] = field(default_factory=list)
    grown_bytes: list[int] = field(default_factory=list)
    """By long prompts and full batches, of each card of each load."""
    rows: list[Row] = field(default_factory=list)
    """What other checks add."""
    remarks: list[str] = field(default_factory=list)
    """What could not be told here, in sentences."""

    def add(self, name: str, unit: str, value: float, target: Target | None = None, by: str = NVML) -> None:
        self.rows.append(_row(name, unit, by, value, target))

    def report(self, failed: Sequence[str]) -> Report | None:
        """None where nothing was measured. `failed`: names of the checks that were not passed."""
        rows = [*(_of_loads(self.loads) if self.loads else ()), *self.rows]
        if self.grown_bytes:
            rows.append(
                _row("most that long prompts and full batches add to that", "MiB", NVML, max(self.grown_bytes) / MIB)
            )
        if not rows:
            return None
        return Report(
            benchmark="gpu-" + _slug(self.cards),
            title=f"Memory as NVML sees it: {' and '.join(self.cards)}",
            rounds=1,
            conditions={"cards": list(self.cards), "bodies": "zeros"},
            rows=rows,
            details={
                "failed": list(failed),
                "hidden_processes": any(not each.held.is_told for each in self.loads),
                "loads": [_detail(each) for each in self.loads],
            },
        )

    def store(self, report: Report) -> Path:
        commit, dirty = machine.commit()
        return write(replace(report, machine=machine.facts(), commit=commit, dirty=dirty, measured_at=now()))


def _row(name: str, unit: str, by: str, value: float, target: Target | None = None) -> Row:
    return Row(name, unit, Side(by, (value,)), None, "value", target)


def _of_loads(loads: Sequence[Figures]) -> list[Row]:
    besides = [each.besides_bytes / MIB for each in loads]
    return [
        _row(
            f"most below what is allocated, of {len(loads)} loads",
            "bytes",
            HEADER,
            max(0, -min(each.above_bytes for each in loads)),
            Target("at most", 0),
        ),
        _row(
            "most above, as a share of 3 % or 64 MiB, whichever is more",
            "%",
            HEADER,
            100 * max(each.share_of_allowance for each in loads),
            Target("at most", 100),
        ),
        _row(
            "most beside",
            "%",
            DRY_RUN,
            100 * max(each.dry_run_error for each in loads),
            Target("at most", 100 * MOST_DRY_RUN_ERROR),
        ),
        _row("least that a worker holds besides its buffers", "MiB", NVML, min(besides)),
        _row("most that a worker holds besides its buffers", "MiB", NVML, max(besides)),
    ]


def _detail(load: Figures) -> dict[str, object]:
    return {
        "case": load.case,
        "device": load.device,
        "told_bytes": load.told_bytes,
        "dry_run_bytes": load.exact_bytes,
        "buffers_bytes": load.buffers_bytes,
        "nvml_bytes": load.held.n_bytes,
        "of_its_process": load.held.is_told,
    }


def _slug(cards: Sequence[str]) -> str:
    """`nvidia-h100-80gb-hbm3`; of several cards one after the other."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(cards).lower()).strip("-")
