"""A report together with what it was made of, so that one can look at the queries behind the figures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.evaluation.gallery import Gallery
from perisphere.evaluation.points import Points
from perisphere.evaluation.report import Report
from perisphere.index.ranking import Ranking
from perisphere.metrics.matching import Positions, Rows


@dataclass(frozen=True)
class Judged:
    """What an evaluation found for each query.

    Attributes:
        report: the figures.
        average_precision: of each query, float64 ``[q]``, NaN where nothing is right.
        asked: the queries.
        parts: the points that the gallery is made of, and which of their rows it takes.
        relevant: the gallery rows that are right for a query.
        ignored: those that count neither as right nor as wrong.
        ranking: the lists, where they were re-ranked; its ids are gallery rows.
        shows_ignored: whether the lists hold the ignored rows, so that a sheet shows them too.
    """

    report: Report
    average_precision: NDArray[np.float64]
    asked: Points
    parts: Sequence[tuple[Points, Positions]]
    relevant: Rows
    ignored: Rows
    ranking: Ranking | None = None
    shows_ignored: bool = True

    @property
    def gallery(self) -> Gallery:
        """The vectors of the gallery."""
        return Gallery([(points.vectors, rows) for points, rows in self.parts])

    def with_report(self, **changes: Any) -> "Judged":
        """Return the same with some fields of the report replaced."""
        return replace(self, report=replace(self.report, **changes))

    def row(self, position: int) -> dict[str, Any]:
        """Return the catalog's row of a gallery row."""
        for points, rows in self.parts:
            if position < len(rows):
                return points.rows.row(int(rows[position]), named=True)
            position -= len(rows)
        raise IndexError(position)
