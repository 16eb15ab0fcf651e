"""The centroids of an index at one moment: one point a label, immutable."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from perisphere.index import exact
from perisphere.index.ranking import Ranking
from perisphere.index.sums import by_label, read_sums, whole
from perisphere.index.vectors import clean, matrix

SHORTEST = 1e-7
"""A mean of unit rows that is shorter is rounding error, not a direction."""


@dataclass(frozen=True, eq=False)
class Centroids:
    """One point a label: the mean of its photos' vectors, of length 1 where the index's metric is cosine.

    Labels whose photos cancel each other have no direction, and so no point, under cosine.

    Attributes:
        ids: int64 ``[g]``, ascending; a centroid's id is its own for ever, and no photo's.
        labels: one each.
        counts: int64 ``[g]``, the photos behind each.
        points: float32 ``[g, d]``.
        lengths: float64 ``[g]``, by which the points were divided.
        metric: the index's.
        change: the last change of the index that is in.
    """

    ids: np.ndarray
    labels: tuple[str, ...]
    counts: np.ndarray
    points: np.ndarray
    lengths: np.ndarray
    metric: str
    change: int = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.ids)

    @classmethod
    def empty(cls, dim: int, metric: str) -> Centroids:
        """Return none."""
        ids = np.empty(0, dtype=np.int64)
        return cls(ids, (), ids, np.empty((0, dim), dtype=np.float32), np.empty(0), metric)

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each label."""
        return {label: place for place, label in enumerate(self.labels)}

    def search(self, queries: np.ndarray, k: int, *, metric: str | None = None) -> Ranking:
        """Return the ``k`` nearest of each query, exactly; the ids are those of centroids.

        Args:
            queries: floating ``[q, d]`` or ``[d]``.
            k: how many, at most.
            metric: another metric than the index's.

        Raises:
            PerisphereError: queries of another dimension, NaN, or a zero query under cosine.
        """
        metric = metric or self.metric
        wanted = clean(matrix(queries, self.points.shape[1], "queries"), metric, what="query")
        pieces = [(self.ids, self.points)] if len(self) else []
        normalised = self.metric == "cosine"
        ids, scores = exact.search(pieces, wanted, min(k, len(self)), metric, normalised=normalised)
        return Ranking(ids, scores, "exact", metric)

    def only(self, labels: Iterable[str]) -> Centroids:
        """Return those of ``labels``."""
        return self._at(np.array(sorted(self.places[x] for x in labels if x in self.places), dtype=np.int64))

    def without(self, labels: Sequence[str | None], vectors: np.ndarray) -> Centroids:
        """Return the centroids of all photos but some, e.g. but the one that is searched for.

        Args:
            labels: of the photos that are left out.
            vectors: theirs, as the index stores them, float32 ``[n, d]``.
        """
        counts, points, lengths = self.counts.copy(), self.points.copy(), self.lengths.copy()
        for label, count, total in by_label(labels, vectors):
            if label in self.places:
                place = self.places[label]
                rest = self.points[place] * (lengths[place] * counts[place]) - total
                counts[place] -= count
                mean = rest / max(1, counts[place])
                points[place], lengths[place] = _point(mean, self.metric)
        left = replace(self, counts=counts, points=points, lengths=lengths)
        return left._at(np.flatnonzero((counts > 0) & (lengths > 0)))

    def _at(self, places: np.ndarray) -> Centroids:
        return replace(
            self,
            ids=self.ids[places],
            labels=tuple(self.labels[place] for place in places.tolist()),
            counts=self.counts[places],
            points=self.points[places],
            lengths=self.lengths[places],
        )


def refreshed(old: Centroids, connection: sqlite3.Connection) -> Centroids:
    """Return the centroids that ``connection`` sees, made of ``old`` and of those that have changed since."""
    dim = old.points.shape[1]
    total = connection.execute("SELECT count(*) FROM centroids WHERE change > ?", (old.change,)).fetchone()[0]
    if not total:
        return old
    fresh = _Gathered(dim, old.metric, total)
    for found in read_sums(connection, dim, after=old.change):
        fresh.take(found.id, found.label, whole(found).count, found.total, found.change)
    stale = np.isin(old.ids, fresh.ids, assume_unique=True)
    return _joined(old._at(np.flatnonzero(~stale)), fresh.centroids(), fresh.change)


def gathered(
    pieces: Iterable[tuple[Sequence[str | None], np.ndarray]], ids: dict[str, int], dim: int, metric: str
) -> Centroids:
    """Return the centroids of some photos only.

    Args:
        pieces: labels and vectors (float32 ``[n, d]``) of the photos, block by block.
        ids: the centroid's id of each label.
        dim: values a vector.
        metric: the index's.
    """
    sums: dict[str, tuple[int, np.ndarray]] = {}
    for labels, vectors in pieces:
        for label, count, total in by_label(labels, vectors):
            before, sum_before = sums.get(label, (0, 0.0))
            sums[label] = (before + count, sum_before + total)
    found = _Gathered(dim, metric, len(sums))
    for label, (count, total) in sorted(sums.items(), key=lambda item: ids[item[0]]):
        found.take(ids[label], label, count, total)
    return found.centroids()


class _Gathered:
    """Sums that become centroids one after another; those without photos or direction are left out."""

    def __init__(self, dim: int, metric: str, room: int) -> None:
        self.ids: list[int] = []
        self.change = 0
        self._metric = metric
        self._kept: list[tuple[int, str, int, float]] = []
        self._points = np.empty((room, dim), dtype=np.float32)

    def take(self, id_: int, label: str, count: int, total: np.ndarray, change: int = 0) -> None:
        self.ids.append(id_)
        self.change = max(self.change, change)
        if not count:
            return
        point, length = _point(total / count, self._metric)
        if length > 0:
            self._points[len(self._kept)] = point
            self._kept.append((id_, label, count, length))

    def centroids(self) -> Centroids:
        ids, labels, counts, lengths = zip(*self._kept, strict=True) if self._kept else ((), (), (), ())
        return Centroids(
            np.array(ids, dtype=np.int64),
            tuple(labels),
            np.array(counts, dtype=np.int64),
            self._points[: len(ids)],
            np.array(lengths, dtype=np.float64),
            self._metric,
        )


def _point(mean: np.ndarray, metric: str) -> tuple[np.ndarray, float]:
    """Return the point of a mean, and by what it was divided; 0 where it has no direction."""
    if metric != "cosine":
        return mean, 1.0
    length = float(np.linalg.norm(mean))
    return (mean / length, length) if length >= SHORTEST else (mean, 0.0)


def _joined(old: Centroids, fresh: Centroids, change: int) -> Centroids:
    if not len(old):
        return replace(fresh, change=change)
    both = replace(
        fresh,
        ids=np.concatenate([old.ids, fresh.ids]),
        labels=old.labels + fresh.labels,
        counts=np.concatenate([old.counts, fresh.counts]),
        points=np.concatenate([old.points, fresh.points]),
        lengths=np.concatenate([old.lengths, fresh.lengths]),
        change=change,
    )
    return both._at(np.argsort(both.ids))
