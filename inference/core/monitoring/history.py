"""Ten minutes of figures, one row a second, in bounded memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence

HISTORY_SAMPLES = 600
"""At one a second."""


class History:
    """A ring of rows; each figure is a series with a name. A series that was not told in the whole ring is forgotten.

    Costs eight bytes a figure: 40 series of 600 samples are 190 KB.
    """

    def __init__(self, n_samples: int = HISTORY_SAMPLES) -> None:
        self._n_samples = n_samples
        self._at = array("d", [math.nan]) * n_samples
        self._series: dict[str, array[float]] = {}
        self._told: dict[str, int] = {}
        """Number of the row in which each series was last known."""
        self._n_rows = 0

    def __len__(self) -> int:
        return min(self._n_rows, self._n_samples)

    def append(self, at: float, figures: Mapping[str, float | None]) -> None:
        """`at`: seconds since 1970. What `figures` leaves out is unknown, as is None."""
        place = self._n_rows % self._n_samples
        self._at[place] = at
        for series in self._series.values():
            series[place] = math.nan
        for name, figure in figures.items():
            if figure is None:
                continue
            series = self._series.setdefault(name, array("d", [math.nan]) * self._n_samples)
            series[place] = figure
            self._told[name] = self._n_rows
        self._n_rows += 1
        for name in [name for name, told in self._told.items() if told <= self._n_rows - 1 - self._n_samples]:
            del self._told[name], self._series[name]

    def extend(self, at: Sequence[float], series: Mapping[str, Sequence[float | None]]) -> None:
        """Rows as `at` and `series` give them out."""
        for place, moment in enumerate(at):
            self.append(moment, {name: figures[place] for name, figures in series.items()})

    @property
    def at(self) -> list[float]:
        """When each row was taken, oldest first."""
        return self._in_order(self._at)

    @property
    def series(self) -> dict[str, list[float | None]]:
        """Every series, as long as `at`; None where it was not known."""
        return {
            name: [None if math.isnan(figure) else _short(figure) for figure in self._in_order(series)]
            for name, series in self._series.items()
        }

    def _in_order(self, ring: array[float]) -> list[float]:
        if self._n_rows <= self._n_samples:
            return ring[: self._n_rows].tolist()
        place = self._n_rows % self._n_samples
        return [*ring[place:], *ring[:place]]


def _short(figure: float) -> float:
    """Whole numbers lose their ".0": a backlog is mostly bytes and zeros."""
    return int(figure) if figure.is_integer() else figure
