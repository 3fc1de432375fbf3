"""What a benchmark measured: rows of paired samples, their medians, a target and whether it was met.

Pure: nothing here reads a clock, a process or a file. `report.py` does the reading and writing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

Comparison = Literal["ratio", "difference", "value"]


@dataclass(frozen=True, slots=True)
class Target:
    """What the compared figure must reach: at least, or at most, this value."""

    bound: Literal["at least", "at most"]
    value: float

    def met(self, figure: float) -> bool:
        return figure >= self.value if self.bound == "at least" else figure <= self.value


@dataclass(frozen=True, slots=True)
class Side:
    """One side's samples, in the order of the rounds."""

    name: str
    samples: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError(f"{self.name}: no samples")

    @property
    def median(self) -> float:
        return median(self.samples)


@dataclass(frozen=True, slots=True)
class Row:
    """One measured thing: ours, and where it is compared also theirs, sample by sample of the same round.

    `ratio` and `difference` compare within a round first and take the median of that, so a machine that slows down for a
    few rounds slows both sides of the same pair; `value` stands alone.
    """

    name: str
    unit: str
    ours: Side
    theirs: Side | None
    comparison: Comparison
    target: Target | None = None

    def __post_init__(self) -> None:
        if (self.theirs is None) != (self.comparison == "value"):
            raise ValueError(f"{self.name}: a {self.comparison} needs {'one side' if self.theirs else 'two sides'}")
        if self.theirs is not None and len(self.theirs.samples) != len(self.ours.samples):
            raise ValueError(
                f"{self.name}: {len(self.ours.samples)} samples of {self.ours.name}"
                f" against {len(self.theirs.samples)} of {self.theirs.name}"
            )

    @property
    def per_round(self) -> tuple[float, ...]:
        """The compared figure of each round."""
        if self.theirs is None:
            return self.ours.samples
        pairs = zip(self.ours.samples, self.theirs.samples, strict=True)
        if self.comparison == "ratio":
            return tuple(ours / theirs for ours, theirs in pairs)
        return tuple(ours - theirs for ours, theirs in pairs)

    @property
    def figure(self) -> float:
        """The figure that the target speaks about: the median over the rounds."""
        return median(self.per_round)

    @property
    def met(self) -> bool | None:
        """None where there is no target."""
        return None if self.target is None else self.target.met(self.figure)

    def to_json(self) -> dict[str, Any]:
        sides = [self.ours] if self.theirs is None else [self.ours, self.theirs]
        return {
            "name": self.name,
            "unit": self.unit,
            "comparison": self.comparison,
            "figure": self.figure,
            "lowest": min(self.per_round),
            "highest": max(self.per_round),
            "target": None if self.target is None else {"bound": self.target.bound, "value": self.target.value},
            "met": self.met,
            "sides": [{"name": side.name, "median": side.median, "samples": list(side.samples)} for side in sides],
        }


def row_from_json(values: Mapping[str, Any]) -> Row:
    """The row that `to_json` wrote; its medians are computed anew from the samples."""
    sides = [Side(side["name"], tuple(side["samples"])) for side in values["sides"]]
    target = values["target"]
    return Row(
        name=values["name"],
        unit=values["unit"],
        ours=sides[0],
        theirs=sides[1] if len(sides) > 1 else None,
        comparison=values["comparison"],
        target=None if target is None else Target(target["bound"], target["value"]),
    )


def _number(value: float, unit: str) -> str:
    digits = 0 if value == 0 or abs(value) >= 1000 else 1 if abs(value) >= 100 else 2
    text = f"{value:,.{digits}f}"
    return f"{text} {unit}" if unit else text


def _side_cell(side: Side | None, unit: str) -> str:
    return "" if side is None else f"{_number(side.median, unit)} ({side.name})"


def _figure_cell(row: Row) -> str:
    if row.comparison == "ratio":
        return f"× {row.figure:.3f} ({min(row.per_round):.3f} to {max(row.per_round):.3f})"
    if row.comparison == "difference":
        lowest, highest = min(row.per_round), max(row.per_round)
        return f"{'+' if row.figure >= 0 else ''}{_number(row.figure, row.unit)} ({lowest:.1f} to {highest:.1f})"
    return _number(row.figure, row.unit)


def _target_cell(row: Row) -> str:
    if row.target is None:
        return ""
    sign = "≥" if row.target.bound == "at least" else "≤"
    if row.comparison == "ratio":
        return f"{sign} × {row.target.value:g}"
    return f"{sign} {row.target.value:g} {row.unit}".rstrip()


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table: medians of both sides, the compared figure with its spread, target, met or not."""
    lines = [
        "| measured | hostui | against | compared (lowest to highest round) | target | met |",
        "|---|---:|---:|---:|---:|:---:|",
    ]
    for row in rows:
        met = {True: "yes", False: "**no**", None: ""}[row.met]
        cells = (
            row.name,
            _side_cell(row.ours, row.unit),
            _side_cell(row.theirs, row.unit),
            _figure_cell(row) if row.comparison != "value" or row.target else "",
            _target_cell(row),
            met,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
