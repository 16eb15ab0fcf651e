"""Result lists of judged points, re-ranked, so that a protocol can judge them like any other ranking."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from perisphere.catalog.images import decode
from perisphere.evaluation.gallery import Gallery
from perisphere.evaluation.points import Points, file_of
from perisphere.evaluation.streaming import stream_top
from perisphere.index.ranking import Ranking
from perisphere.metrics.matching import Positions, Rows
from perisphere.search.ingredients import Source
from perisphere.search.rerank import Chain, Context
from perisphere.sphere.geometry import Metric, Vectors, normalise

DEPTH = 1000
"""Length of the lists that are re-ranked, where the user names none."""

LOOKING = ("geometric",)
"""Re-rankers that compare the photos themselves."""

VOTING = ("label", "softlabel")
"""Re-rankers that let the labels of the first results vote."""

Parts = Sequence[tuple[Points, Positions]]
"""The points that a gallery is made of, and which of their rows it takes."""


@dataclass(frozen=True)
class Reranking:
    """A chain of re-rankers and how much of each ranking it answers with.

    Attributes:
        chain: from a ranking and what is known about its images to a ranking.
        depth: length of the lists. The chain sees more where it needs more, such as neighbours that vote.
    """

    chain: Chain
    depth: int = DEPTH

    @property
    def looks(self) -> bool:
        """Whether photos are compared; those that a benchmark ignores must then not be in the list."""
        return any(step.name in LOOKING for step in self.chain.steps)

    @property
    def votes(self) -> bool:
        """Whether labels vote; those of photos that a protocol leaves out must then not be in the list."""
        return any(step.name in VOTING for step in self.chain.steps)

    @property
    def options(self) -> dict[str, Any]:
        """What the report says."""
        return {"rerank": str(self.chain), "depth": self.depth}

    def __call__(self, asked: Points, parts: Parts, metric: Metric, without: Rows | None = None) -> Ranking:
        """Return re-ranked lists; their ids are gallery rows.

        Args:
            asked: the queries.
            parts: the gallery.
            metric: what orders it.
            without: gallery rows that a query's list must not hold.
        """
        context = context_of(asked, parts, metric, without, photos=self.looks)
        return self.chain.search(context, min(self.depth, len(context.gallery.ids())))


def context_of(
    asked: Points, parts: Parts, metric: Metric, without: Rows | None = None, *, photos: bool = False
) -> Context:
    """Return what a re-ranker may know of ``asked`` and the gallery, whose ids are its rows' numbers."""
    rows = range(len(asked))
    vectors = np.asarray(asked.vectors, np.float32)
    return Context(
        PointsGallery(parts, metric),
        normalise(vectors) if metric == "cosine" else vectors,
        () if without is None else [frozenset(without(query).tolist()) for query in rows],
        [photo_of(asked.rows.row(query, named=True)) for query in rows] if photos else (),
    )


class PointsGallery:
    """Points as re-rankers ask for them (:class:`perisphere.search.rerank.Gallery`), kept where they are.

    Args:
        parts: what the gallery is made of; its ids are 0, 1, 2 and so on, in their order.
        metric: of :meth:`search`.
    """

    def __init__(self, parts: Parts, metric: Metric) -> None:
        self._rows = Gallery([(points.vectors, rows) for points, rows in parts])
        self._parts, self._metric = parts, metric

    @property
    def metric(self) -> str:
        """The metric of :meth:`search`."""
        return self._metric

    def ids(self) -> NDArray[np.int64]:
        """Return all ids."""
        return np.arange(len(self._rows))

    def vectors(self, ids: NDArray[np.int64]) -> Vectors:
        """Return the vectors of ``ids``, a copy, float32 ``[m, d]``; unit rows for cosine."""
        return normalise(self._rows[ids]) if self._metric == "cosine" else self._rows[ids]

    def labels(self, ids: NDArray[np.int64]) -> list[str | None]:
        """Return the labels of ``ids``."""
        return self._labels.gather(ids).to_list()

    def members(self, label: str) -> NDArray[np.int64]:
        """Return the ids with a label, ascending."""
        return np.flatnonzero((self._labels == label).fill_null(False).to_numpy())

    def files(self, ids: NDArray[np.int64]) -> list[Path | None]:
        """Return where the photos of ``ids`` lie, as far as is known."""
        return [file_of(row) for row in self._places[ids].iter_rows(named=True)]

    def search(self, vectors: NDArray, k: int) -> Ranking:
        """Return the ``k`` rows nearest to each vector; equal scores in the order of the gallery."""
        ids, scores = stream_top(vectors, self._rows, k, metric=self._metric)
        return Ranking(ids, scores, "exact", self._metric)

    @cached_property
    def _labels(self) -> pl.Series:
        return pl.concat([points.rows["label"].cast(pl.String).gather(rows) for points, rows in self._parts])

    @cached_property
    def _places(self) -> pl.DataFrame:
        return pl.concat([points.rows.select("path", "root")[rows] for points, rows in self._parts])


def photo_of(row: dict[str, Any]) -> Source | None:
    """Return a query's photo, cut to its box where it has one."""
    file = file_of(row)
    if file is None or row.get("box") is None:
        return file
    x0, y0, x1, y1 = row["box"]
    return decode(file)[max(y0, 0) : y1, max(x0, 0) : x1]
