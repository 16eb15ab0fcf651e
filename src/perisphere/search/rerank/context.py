"""What a re-ranker may ask: the queries' vectors, and the gallery that was searched."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.index.ranking import NONE, Ranking
from perisphere.search.ingredients import Source
from perisphere.sphere.geometry import Vectors

Ids = NDArray[np.int64]


class Gallery(Protocol):
    """The images that are searched: an index or arrays in memory (:mod:`perisphere.search.rerank.galleries`).

    Ids are never :data:`~perisphere.index.ranking.NONE`; an unknown one is an error.
    """

    @property
    def metric(self) -> str:
        """``"cosine"``, ``"l2"`` or ``"l1"``."""

    def ids(self) -> Ids:
        """Return all ids, in the gallery's order."""

    def vectors(self, ids: Ids) -> Vectors:
        """Return float32 ``[n, d]``, unit rows for cosine; maybe a view, so never written to."""

    def labels(self, ids: Ids) -> list[str | None]:
        """Return the label of each, ``None`` where there is none."""

    def members(self, label: str) -> Ids:
        """Return the ids with a label, in the gallery's order."""

    def files(self, ids: Ids) -> list[Path | None]:
        """Return where the photos lie, ``None`` where that is not known."""

    def search(self, vectors: NDArray, k: int) -> Ranking:
        """Return the ``k`` nearest images of each vector."""


@dataclass(frozen=True)
class Context:
    """A search that is being re-ranked; row ``i`` of its Ranking answers query ``i``.

    Attributes:
        gallery: what was searched.
        queries: float32 ``[q, d]``.
        hidden: for each query the ids that it must not find (its own photo, or junk); none where empty.
        photos: for each query its photo, which geometric verification needs; none where empty.
    """

    gallery: Gallery
    queries: Vectors
    hidden: Sequence[frozenset[int]] = ()
    photos: Sequence[Source | None] = ()

    def __post_init__(self) -> None:
        for name, values in (("hidden", self.hidden), ("photos", self.photos)):
            if values and len(values) != len(self.queries):
                raise PerisphereError(f"{len(values)} {name} for {len(self.queries)} queries. Give one each.")

    def vectors(self, ids: Ids) -> Vectors:
        """Return the gallery's vectors of ``ids``, float32 ``[n, d]``."""
        return self.gallery.vectors(ids)

    def labels(self, ids: Ids) -> list[str | None]:
        """Return the gallery's labels of ``ids``."""
        return self.gallery.labels(ids)

    def search(self, vectors: NDArray, k: int) -> Ranking:
        """Search with one vector a query, in their order; what is hidden from a query is left out."""
        spare = max(map(len, self.hidden), default=0)
        return without(self.gallery.search(vectors, k + spare), self.hidden, k)

    def with_queries(self, vectors: Vectors) -> "Context":
        """Return the context with the queries moved to ``vectors`` ``[q, d]``."""
        return replace(self, queries=vectors)

    def with_gallery(self, gallery: Gallery) -> "Context":
        """Return the context with another gallery of the same ids."""
        return replace(self, gallery=gallery)


def without(ranking: Ranking, hidden: Sequence[frozenset[int]], k: int) -> Ranking:
    """Return the first ``k`` results of each query that are not hidden from it."""
    if not any(hidden):
        return ranking.first(k)
    drop = np.array([np.isin(ids, list(ids_)) for ids, ids_ in zip(ranking.ids, hidden, strict=True)])
    order = np.argsort(drop, axis=1, kind="stable")
    gone = np.take_along_axis(drop, order, 1)
    ids = np.where(gone, NONE, np.take_along_axis(ranking.ids, order, 1))
    scores = np.where(gone, np.float32(-np.inf), np.take_along_axis(ranking.scores, order, 1))
    return Ranking(ids, scores, ranking.road, ranking.metric).first(k)


def with_head(ranking: Ranking, order: NDArray[np.int64], scores: NDArray) -> Ranking:
    """Re-order the head of each list; its tail follows as it was.

    Args:
        ranking: the lists, ``[q, k]``.
        order: the places of the head, best first, int64 ``[q, h]``: a permutation of ``0..h-1``; ``h <= k``.
        scores: the head's new scores in the new order, ``[q, h]``, falling.

    Returns:
        A Ranking whose scores fall: the tail's old ones are lowered where they do not lie below the head's.
    """
    width = order.shape[1]
    ids, all_scores = ranking.ids.copy(), ranking.scores.copy()
    ids[:, :width] = np.take_along_axis(ranking.ids, order, 1)
    all_scores[:, :width] = np.where(ids[:, :width] == NONE, -np.inf, scores)
    if 0 < width < ids.shape[1]:
        tail, head = ranking.scores[:, width], all_scores[:, width - 1]
        drop = np.subtract(tail, head, out=np.zeros_like(tail), where=np.isfinite(tail) & np.isfinite(head))
        drop = np.maximum(drop, 0)
        all_scores[:, width:] -= drop[:, None]
    return Ranking(ids, all_scores, ranking.road, ranking.metric)
